"""From a refusal of the gateway, or a failed connection, to an error of errors.py. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic_core import from_json

from tollgate_client.errors import (
    BadRequestError,
    BudgetSpentError,
    GatewayConnectionError,
    GatewayFaultError,
    GatewayTimeoutError,
    NotAllowedError,
    OverloadedError,
    ProviderRefusedError,
    RateLimitedError,
    RefusedKeyError,
    StatusError,
    StreamInterruptedError,
)

_BY_STATUS: Mapping[int, type[StatusError]] = {
    400: BadRequestError,
    401: RefusedKeyError,
    403: NotAllowedError,
    413: BadRequestError,
    415: BadRequestError,
    422: BadRequestError,
    424: ProviderRefusedError,
    429: RateLimitedError,
    502: ProviderRefusedError,
    503: OverloadedError,
    529: OverloadedError,
}
# Anthropic's and OpenAI's name for a spent budget.
_BUDGET = ("billing_error", "insufficient_quota")
_RESET = "anthropic-ratelimit-unified-reset"
# These fail before the request leaves this machine.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_LONGEST_SENTENCE = 2000
_LONGEST_WAIT = 1e9


def refusal(status: int, headers: Mapping[str, str], body: bytes, secret: str) -> StatusError:
    """The error for an answer that is not 2xx. `secret` is blotted out wherever the answer repeats it."""
    error = _error_object(body)
    kind, code = _text(error.get("type")), _text(error.get("code"))
    sentence = _text(error.get("message")) or _without_words(status, headers)
    named = {"kind": kind, "code": code, "request_id": request_id(headers)}
    now = datetime.now(UTC)
    wait = retry_after(headers, now)
    budget = status == 429 and (kind in _BUDGET or _RESET in headers)
    error_type = BudgetSpentError if budget else _BY_STATUS.get(status, GatewayFaultError)
    return error_type(
        blotted(sentence, secret)[:_LONGEST_SENTENCE],
        status=status,
        retry_after=wait,
        resets_at=_resets_at(headers, wait, now),
        should_retry={"true": True, "false": False}.get(headers.get("x-should-retry", "")),
        **{name: blotted(value, secret)[:200] for name, value in named.items()},
    )


def unreachable(error: Exception, address: str) -> GatewayConnectionError:
    """The error for a request without an answer. It does not keep httpx's error, which holds the key."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return GatewayConnectionError(f"cannot connect to {address}: is the gateway up, and base_url right?")
    if isinstance(error, httpx.PoolTimeout):
        return GatewayConnectionError("every connection of the pool was busy for too long")
    if isinstance(error, httpx.TimeoutException):
        return GatewayTimeoutError(f"{address} did not answer within the timeout", sent=True)
    sent = not isinstance(error, _NOT_SENT)
    return GatewayConnectionError(f"the connection to {address} failed: {type(error).__name__}", sent=sent)


def interrupted(error: Exception, address: str, request: str) -> StreamInterruptedError:
    """The error for an answer whose connection failed in the middle."""
    what = "was silent for longer than the timeout" if isinstance(error, httpx.TimeoutException) else "was cut"
    return StreamInterruptedError(f"the answer of {address} {what}", request_id=request)


def failed_inside(event: Mapping[str, Any], request: str, secret: str) -> StreamInterruptedError:
    """The error for a stream whose gateway said in the middle that it failed."""
    inner = event.get("error")
    error = inner if isinstance(inner, dict) else event
    sentence = _text(error.get("message")) or "the stream failed"
    kind = _text(error.get("type"))
    return StreamInterruptedError(blotted(sentence, secret)[:_LONGEST_SENTENCE], kind=kind, request_id=request)


def request_id(headers: Mapping[str, str]) -> str:
    return headers.get("request-id") or headers.get("x-request-id") or ""


def answered_by(headers: Mapping[str, str]) -> str:
    """The model that answered in place of the one that was asked; empty if that one did, or nobody said so."""
    return headers.get("tollgate-answered-by", "")[:200]


def blotted(text: str, secret: str) -> str:
    return text.replace(secret, "[your key]") if secret else text


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds from `Retry-After`, which has seconds or a date; None without a usable one."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if _SECONDS.fullmatch(value):
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    seconds = (moment - now).total_seconds()
    # No date can be made of a wait of thousands of years.
    return max(0.0, seconds) if seconds < _LONGEST_WAIT else None


def _resets_at(headers: Mapping[str, str], wait: float | None, now: datetime) -> datetime | None:
    stated = headers.get(_RESET, "")
    if stated.isascii() and stated.isdigit() and len(stated) <= 11:
        return datetime.fromtimestamp(int(stated), UTC)
    return now + timedelta(seconds=wait) if wait is not None else None


def _error_object(body: bytes) -> Mapping[str, Any]:
    """The `error` of both APIs; empty where another server answered."""
    try:
        content = from_json(body)
    except ValueError:
        return {}
    error = content.get("error") if isinstance(content, dict) else None
    return error if isinstance(error, dict) else {}


def _without_words(status: int, headers: Mapping[str, str]) -> str:
    if 300 <= status < 400:
        return "the address redirects, and keys are not sent on: set base_url to the address that answers itself"
    if status == 404:
        return "this address has no such route: set base_url to the gateway, without /v1"
    server = headers.get("server", "")[:40]
    return f"the answer has no sentence of the gateway{f' (server: {server})' if server else ''}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
