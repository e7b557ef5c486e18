"""Errors from LiteLLM's answers: each has a hint, and keys are masked."""

from __future__ import annotations

import re

import httpx

from tollgate.errors import TollgateError

_KEY = re.compile(r"sk-[A-Za-z0-9_\-]{4,}")
_LONGEST_MESSAGE = 500  # LiteLLM can answer with a whole traceback

_HINTS = {
    401: "LiteLLM refused the master key; the replicas accept the secrets/litellm_master_key they were started with",
    403: "this call needs the master key; check which key you use",
    404: "the object does not exist, or this address is not LiteLLM's management API (only the admin port is)",
    422: "LiteLLM refused a field; check that the pinned version of LiteLLM is running",
}
_HINT_BUSY = "LiteLLM or its database is not ready; see `make status`, then run this again"


class LiteLLMError(TollgateError):
    """LiteLLM refused a management call, or did not answer (then `status` is 0)."""

    def __init__(self, message: str, hint: str, status: int = 0) -> None:
        super().__init__(message, hint)
        self.status = status

    @property
    def may_pass(self) -> bool:
        """Whether the call failed for a reason that can pass. LiteLLM may have carried it out; a retry may work."""
        return self.status == 0 or self.status >= 500


def refused(method: str, path: str, response: httpx.Response) -> LiteLLMError:
    """The error for an answer that is not 2xx: method, path, status and LiteLLM's message with masked keys."""
    status = response.status_code
    hint = _HINTS.get(status, _HINT_BUSY if status >= 500 else "see the replica's log: make logs")
    return LiteLLMError(f"LiteLLM: {method} {path}: {status}: {mask(_message(response))}", hint, status)


def unreachable(method: str, path: str, error: httpx.HTTPError) -> LiteLLMError:
    reason = mask(str(error)) or type(error).__name__
    return LiteLLMError(f"LiteLLM: {method} {path}: no answer: {reason}", _HINT_BUSY)


def mask(text: str) -> str:
    """Replace everything that looks like a key. Some of LiteLLM's messages repeat the request."""
    return _KEY.sub("sk-***", text)


def _message(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text.strip()[:_LONGEST_MESSAGE] or "no message"
    error = body.get("error", body.get("detail", body)) if isinstance(body, dict) else body
    message = error.get("message", error.get("error", error)) if isinstance(error, dict) else error
    return str(message)[:_LONGEST_MESSAGE]
