"""The requests that ended in the last minute, from the log lines of the gateway processes, summed in any way."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tollgate.stack.requests.lines import CALL, service_of, written

WINDOW_S = 60
OPERATOR, NO_MODEL = "(operator)", "(no model)"
CLIENT_LEFT = 499


@dataclass(frozen=True)
class Ended:
    """One request. `at` is in seconds since 1970. Tokens and money are known of the direct route only."""

    at: float
    process: str
    tenant: str
    model: str
    failed: bool
    tokens: int
    usd: float
    first_byte_ms: int | None


@dataclass(frozen=True)
class Row:
    """Rates of one name over the last minute. None: not known."""

    name: str
    requests_s: float = 0.0
    errors_s: float = 0.0
    tokens_s: float = 0.0
    usd_h: float = 0.0
    first_byte_p95_ms: int | None = None
    running: int | None = None

    def plus(self, other: Row) -> Row:
        """With the tokens and the money of `other`, which are of other requests or of the same without either."""
        return replace(self, tokens_s=self.tokens_s + other.tokens_s, usd_h=self.usd_h + other.usd_h)


def ended(printed: str) -> Ended | None:
    """From a line as `docker compose logs` prints it. None for every other line, and for what needs no model."""
    container, _, text = printed.partition("|")
    try:
        line = json.loads(text)
        if not isinstance(line, dict) or line.get("message") != CALL or line.get("route") == "own":
            return None
        return _ended(service_of(container), line)
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _ended(process: str, line: Mapping[str, Any]) -> Ended:
    tokens: Mapping[str, int] = line.get("tokens") or {}
    status = int(line.get("status", 0))
    return Ended(
        at=written(line).timestamp(),
        process=process,
        tenant=str(line.get("tenant") or OPERATOR),
        model=str(line.get("model") or NO_MODEL),
        failed=(status >= 400 and status != CLIENT_LEFT) or (bool(line.get("error")) and status != CLIENT_LEFT),
        tokens=sum(int(tokens.get(kind, 0)) for kind in ("input", "cache_read", "cache_write", "output")),
        usd=float(line.get("cost_usd", 0)),
        first_byte_ms=int(line["first_byte_ms"]) if "first_byte_ms" in line else None,
    )


class Minute:
    """Used by one thread that adds and one that reads: a deque allows it."""

    def __init__(self) -> None:
        self._requests: deque[Ended] = deque(maxlen=500_000)

    def add(self, request: Ended | None) -> None:
        if request is not None:
            self._requests.append(request)

    def rows(self, by: Callable[[Ended], str], now: float) -> dict[str, Row]:
        """One row for each name, of the requests that ended in the WINDOW_S before `now`."""
        groups: dict[str, list[Ended]] = {}
        for request in self._recent(now):
            groups.setdefault(by(request), []).append(request)
        return {name: _row(name, requests) for name, requests in groups.items()}

    def _recent(self, now: float) -> Iterable[Ended]:
        """Lines of several processes come nearly in order, so a little is kept beyond the window."""
        while self._requests and self._requests[0].at < now - 2 * WINDOW_S:
            self._requests.popleft()
        return [request for request in self._requests.copy() if now - WINDOW_S <= request.at]


def _row(name: str, requests: list[Ended]) -> Row:
    return Row(
        name,
        requests_s=len(requests) / WINDOW_S,
        errors_s=sum(request.failed for request in requests) / WINDOW_S,
        tokens_s=sum(request.tokens for request in requests) / WINDOW_S,
        usd_h=sum(request.usd for request in requests) * 3600 / WINDOW_S,
        first_byte_p95_ms=p95(request.first_byte_ms for request in requests),
    )


def p95(values: Iterable[int | None]) -> int | None:
    """The smallest value that at least 95 % of the values do not exceed."""
    known = sorted(value for value in values if value is not None)
    return known[math.ceil(len(known) * 0.95) - 1] if known else None
