"""How a call to an upstream failed: what the client is told, and whether another target may do better.

docs/refusals.md has the table. A Messages upstream's own refusal keeps its status, type and words, because Claude Code
acts on them; what an upstream says about the gateway's account is never told as the client's own trouble.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import orjson

from tollgate.services.gateway.convert import upstream_error
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError
from tollgate.services.gateway.upstream import blame
from tollgate.services.gateway.upstream.blame import Whose
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.refusals.upstream_words import harmless, message_of

OPERATOR = "Tell the operator of this gateway the request id."
TRY_AGAIN_S = 5
# Errors of the request itself. Another target would say the same.
_THE_REQUESTS = frozenset({400, 413, 422})
_LONG_PROMPT = re.compile(r"prompt is too long", re.IGNORECASE)
# Anthropic answers 400 for an empty account. It begins so; a part of the request may stand further back.
_NO_CREDIT = re.compile(r"(?:your )?credit balance is too low", re.IGNORECASE)
_KINDS = frozenset(
    (
        *("invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error"),
        *("request_too_large", "rate_limit_error", "timeout_error", "api_error", "overloaded_error"),
    )
)
# Answers above the gateway's bounds.
_TOO_LARGE = frozenset({"line_too_long", "too_large"})
# A 200 of these kinds was an answer, or the beginning of one. The others are errors that the upstream tells, and web
# pages: no model wrote them.
_BEGAN = frozenset({"bad_tool_call", "cut", "empty", "no_choices", "unreadable"})
_KIND_OF = {400: "invalid_request_error", 404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error"}


@dataclass(frozen=True)
class Failure:
    """`kind` is a word for metrics. `detail` is for the log only, and only if it is about the gateway's account.

    `final`: another target would say the same. `reached`: the upstream may have got the request. `rests`: the target is
    to blame, so it counts for its cool-down. `too_long`: a model with a larger context window may do better. `events`:
    the error as a Messages upstream streamed it; Claude Code understands it. `billed`: an answer had begun, so the
    provider may bill it.
    """

    kind: str
    refusal: Refusal
    final: bool = False
    detail: str = ""
    reached: bool = True
    rests: bool = True
    too_long: bool = False
    events: bytes = b""
    billed: bool = False


def no_answer(kind: str, *, reached: bool = True, billed: bool = False) -> Failure:
    """The upstream was not reached, fell silent, broke off, or sent something that is no answer."""
    if kind == "redirect":
        return _redirect()
    if billed and kind in _TOO_LARGE:
        return _too_large(kind)
    message = "The provider of this model did not answer properly. Try again; if it lasts, choose another model."
    return Failure(kind, _overloaded("provider_failed", message, TRY_AGAIN_S), reached=reached, billed=billed)


def unfit(kind: str, refusal: Refusal) -> Failure:
    """The request does not exist in this target's protocol. The target was not asked; another one may accept it."""
    return Failure(kind, refusal, reached=False, rests=False)


def of_stream(failed: UpstreamFailedError) -> Failure:
    """A failure inside of a 200 answer, before anything was sent to the client."""
    if failed.kind == "account":
        return _account(failed.detail)
    if failed.kind == "context_length":
        return _too_long(failed)
    if failed.kind in _TOO_LARGE:
        return _too_large(failed.kind)
    status = 529 if failed.error_type in ("overloaded_error", "api_error") else 400
    retry = status == 529
    refusal = Refusal(
        status,
        failed.error_type if not retry else "overloaded_error",
        failed.kind,
        failed.message,
        retry,
        TRY_AGAIN_S if retry else None,
        counts=True,
    )
    billed = failed.kind in _BEGAN
    return Failure(failed.kind, refusal, final=not retry, detail=failed.detail, rests=retry, billed=billed)


def of_status(status: int, headers: Mapping[str, str], body: bytes, *, native: bool) -> Failure:
    """`native`: the upstream speaks Anthropic's Messages, so its words are meant for the client."""
    answer = _json(body)
    words = _words(answer)
    status = status if status < 600 else 500
    if status in blame.STATUSES:
        return _blamed(status, blame.of(status, body, answer, words), words)
    if _NO_CREDIT.match(words):
        return _account(words)
    if not native and (status in _THE_REQUESTS or status >= 500 or status in (408, 429)):
        return _chat(status, headers, answer)
    kind = _kind(answer) or _KIND_OF.get(status, "api_error" if status >= 500 else "invalid_request_error")
    message = harmless(words) or _silent_words(status)
    refusal = Refusal(
        status, kind, kind.removesuffix("_error"), message, _should_retry(status, headers), _after(headers), counts=True
    )
    final = status in _THE_REQUESTS
    return Failure(f"status_{status}", refusal, final, rests=not final, too_long=bool(_LONG_PROMPT.match(words)))


def _blamed(status: int, blamed: blame.Blame, words: str) -> Failure:
    if blamed.whose is Whose.ACCOUNT:
        return _account(words, rests=blamed.rests)
    if blamed.whose is Whose.MODEL:
        message = f"The provider does not have the model that the gateway's configuration names. {OPERATOR}"
        refusal = Refusal(424, "api_error", "provider_model_missing", message, counts=True)
        return Failure("model_missing", refusal, rests=blamed.rests)
    # Claude Code would replace the words of a 403 or a 404 with its own.
    told = harmless(words) or _silent_words(400)
    refusal = Refusal(400, "invalid_request_error", "invalid_request", told, counts=True)
    return Failure(f"status_{status}", refusal, blamed.final, rests=False)


def _chat(status: int, headers: Mapping[str, str], answer: Any) -> Failure:
    """A chat server's error. Its kind decides about the status: servers use 400 and 500 for many things."""
    failed = upstream_error.from_error(answer)
    if failed.kind == "context_length" and status != 429:
        return _too_long(failed)
    if status in _THE_REQUESTS:
        if failed.kind == "account":
            # Only by its words, which may quote the request.
            return _account(failed.detail, rests=False)
        words = harmless(_words(answer)) or _silent_words(status)
        kind = _KIND_OF.get(status, "invalid_request_error")
        refused = Refusal(status, kind, "invalid_request", words, counts=True)
        return Failure(f"status_{status}", refused, final=True, rests=False)
    after = _after(headers)
    if status == 429:
        message = "The provider of this model is limiting this gateway. Try again in a moment."
        refusal = Refusal(
            429,
            "rate_limit_error",
            "provider_rate_limit",
            message,
            _should_retry(status, headers),
            after if after is not None else TRY_AGAIN_S,
            counts=True,
        )
        return Failure("status_429", refusal)
    failed_there = no_answer(f"status_{status}")
    retry, wait = _should_retry(status, headers), after if after is not None else TRY_AGAIN_S
    return replace(failed_there, refusal=replace(failed_there.refusal, retry=retry, retry_after=wait))


def prompt_too_long(tokens: int, most: int) -> Failure:
    """Claude Code shortens the conversation after these words. No upstream was asked."""
    message = f"prompt is too long: {tokens} tokens > {most} maximum"
    refusal = Refusal(400, "invalid_request_error", "context_length", message)
    return Failure("context_length", refusal, final=True, reached=False, rests=False, too_long=True)


def _too_long(failed: UpstreamFailedError) -> Failure:
    refusal = Refusal(400, "invalid_request_error", "context_length", failed.message, counts=True)
    return Failure(failed.kind, refusal, final=True, detail=failed.detail, rests=False, too_long=True)


def _redirect() -> Failure:
    """Not followed: an upstream must not send prompts and keys to another address."""
    message = f"The provider of this model answered with a redirect, which the gateway does not follow. {OPERATOR}"
    return Failure("redirect", Refusal(502, "api_error", "provider_redirects", message, counts=True))


def _too_large(kind: str) -> Failure:
    """The request made the answer, so the target is not to blame. Each further try would be billed and given up too."""
    message = "The provider of this model sent an answer that is too large for this gateway. Ask for a shorter one."
    refusal = Refusal(502, "api_error", "provider_answer_too_large", message, counts=True)
    return Failure(kind, refusal, final=True, rests=False, billed=True)


def _account(detail: str, *, rests: bool = True) -> Failure:
    """Claude Code shows the words of a 424 unchanged (docs/refusals.md)."""
    message = f"The provider of this model refused the gateway's own account, not your key. {OPERATOR}"
    refusal = Refusal(424, "api_error", "provider_refused_gateway", message, counts=True)
    return Failure("account", refusal, detail=harmless(detail), rests=rests)


def _overloaded(code: str, message: str, retry_after: int) -> Refusal:
    return Refusal(529, "overloaded_error", code, message, retry=True, retry_after=retry_after, counts=True)


def _should_retry(status: int, headers: Mapping[str, str]) -> bool:
    """As the upstream's header says. Without that header, as the SDKs decide by themselves."""
    stated = headers.get("x-should-retry", "").lower()
    return stated == "true" if stated in ("true", "false") else status in (408, 409, 429) or status >= 500


def _after(headers: Mapping[str, str]) -> int | None:
    """Seconds, rounded up, so never fewer than the upstream asks for. The header has seconds, or a date."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,7}(\.\d{1,9})?", value):
        return math.ceil(float(value))
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = math.ceil((when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return min(max(seconds, 0), 9_999_999)


def _words(answer: Any) -> str:
    try:
        return message_of(answer)
    except RecursionError:
        return ""


def _kind(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    return kind if isinstance(kind, str) and kind in _KINDS else ""


def _silent_words(status: int) -> str:
    if status >= 500:
        return "The provider of this model failed. Try again."
    return "The provider of this model refused the request."


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
