"""Turning LiteLLM's answers into errors a person can act on, without any credential in them."""

from __future__ import annotations

import re

import httpx

from tollgate.errors import TollgateError

_KEY = re.compile(r"sk-[A-Za-z0-9_\-]{4,}")
_LONGEST_MESSAGE = 500  # LiteLLM can answer with a whole traceback

_HINTS = {
    401: "LiteLLM does not know this master key; it is the one in secrets/litellm_master_key the replicas started with",
    403: "only the master key may do this; check which key is used",
    404: "the object is gone, or this is not LiteLLM's management API (it listens on the admin port only)",
    422: "LiteLLM did not understand a field; is it the pinned version?",
}
_HINT_BUSY = "LiteLLM or its database is not ready; see `make status`, then run this again"


class LiteLLMError(TollgateError):
    """LiteLLM refused a management call, or could not be reached (`status` is 0 then)."""

    def __init__(self, message: str, hint: str, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether LiteLLM failed rather than refused: it may have done it all the same, or may do it the next time."""
        return self.status == 0 or self.status >= 500


def refused(method: str, path: str, response: httpx.Response) -> LiteLLMError:
    """The error for an answer that is not 2xx: method, path, status and LiteLLM's own words, keys masked."""
    status = response.status_code
    hint = _HINTS.get(status, _HINT_BUSY if status >= 500 else "see the replica's log: make logs")
    return LiteLLMError(f"LiteLLM: {method} {path}: {status}: {mask(_words(response))}", hint, status)


def unreachable(method: str, path: str, error: httpx.HTTPError) -> LiteLLMError:
    reason = mask(str(error)) or type(error).__name__
    return LiteLLMError(f"LiteLLM: {method} {path}: no answer: {reason}", _HINT_BUSY)


def mask(text: str) -> str:
    """Hide whatever looks like a key: LiteLLM echoes what it was sent in some of its messages."""
    return _KEY.sub("sk-***", text)


def _words(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text.strip()[:_LONGEST_MESSAGE] or "no message"
    error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
    message = error.get("message", error.get("error", error)) if isinstance(error, dict) else error
    return str(message)[:_LONGEST_MESSAGE]
