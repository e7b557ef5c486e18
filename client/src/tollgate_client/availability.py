"""Which models are worth asking now: rests after a refusal, the program's own rate limits, the tenant's. No I/O."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from tollgate_client.errors import (
    BudgetSpentError,
    GatewayConnectionError,
    OverloadedError,
    RateLimitedError,
    StatusError,
    TollgateError,
)
from tollgate_client.model_info import RateLimits
from tollgate_client.prices import Tokens
from tollgate_client.tenant_usage import TenantUsage

# For this many seconds a model rests after a refusal without Retry-After, and all models after a failed connection.
REST_SECONDS = 5.0
# The longest Retry-After that counts.
_LONGEST_REST = 3600.0
_WINDOW_SECONDS = 60.0


class Availability:
    """`clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rests: dict[str, tuple[float, str]] = {}
        # Moment, requests, tokens.
        self._sent: dict[str, deque[tuple[float, int, int]]] = {}
        self._usage: TenantUsage | None = None

    def asked(self, model: str) -> None:
        """Note a call when it is sent, so that calls at the same time count."""
        self._count(model, 1, 0)

    def failed(self, model: str, error: TollgateError) -> None:
        """Note what a call of `model` met."""
        if isinstance(error, GatewayConnectionError):
            # If the call was sent, the gateway is up, so other models may answer.
            model, why = (model, "it did not answer") if error.sent else ("", "the gateway did not answer")
        elif isinstance(error, RateLimitedError | OverloadedError):
            why = "rate limited" if isinstance(error, RateLimitedError) else "overloaded"
        elif isinstance(error, BudgetSpentError):
            model, why = (model, "its budget is spent") if error.of_model else ("", "the budget is spent")
        else:
            return
        asked = error.retry_after if isinstance(error, StatusError) else None
        seconds = REST_SECONDS if asked is None else min(asked, _LONGEST_REST)
        with self._lock:
            self._rests[model] = (self._clock() + seconds, why)

    def served(self, model: str, tokens: int) -> None:
        """Note that a call was answered, and all its tokens."""
        with self._lock:
            self._rests.pop(model, None)
            self._rests.pop("", None)
        self._count(model, 0, tokens)

    def healthy(self, answered: bool) -> None:
        """Note the result of a health check."""
        with self._lock:
            if answered:
                self._rests.pop("", None)
            else:
                self._rests[""] = (self._clock() + REST_SECONDS, "the gateway failed its health check")

    def told(self, usage: TenantUsage) -> None:
        """Note what the gateway says of the tenant's limits."""
        with self._lock:
            self._usage = usage

    def why_not(self, model: str, limits: RateLimits) -> str:
        """Why `model` should not be asked now; empty if it can be."""
        with self._lock:
            now = self._clock()
            for name in ("", model):
                until, why = self._rests.get(name, (now, ""))
                if until > now:
                    return f"{why}; rests {until - now:.0f} s more"
            return self._over_limits(model, limits, now) or self._nothing_left(model)

    def _count(self, model: str, requests: int, tokens: int) -> None:
        with self._lock:
            now = self._clock()
            self._recent(model, now).append((now, requests, tokens))

    def _recent(self, model: str, now: float) -> deque[tuple[float, int, int]]:
        sent = self._sent.setdefault(model, deque())
        while sent and sent[0][0] <= now - _WINDOW_SECONDS:
            sent.popleft()
        return sent

    def _over_limits(self, model: str, limits: RateLimits, now: float) -> str:
        sent = self._recent(model, now)
        asked = sum(requests for _, requests, _ in sent)
        if limits.requests_per_minute is not None and asked >= limits.requests_per_minute:
            return f"its {limits.requests_per_minute} requests a minute are used"
        used = sum(tokens for _, _, tokens in sent)
        if limits.tokens_per_minute is not None and used >= limits.tokens_per_minute:
            return f"its {limits.tokens_per_minute} tokens a minute are used"
        return ""

    def _nothing_left(self, model: str) -> str:
        if self._usage is None:
            return ""
        return self._usage.exhausted(model, datetime.now(UTC))


@dataclass(frozen=True)
class Note:
    """Notes one streamed call of `model`."""

    availability: Availability
    model: str

    def asked(self) -> None:
        self.availability.asked(self.model)

    def ended(self, error: TollgateError | None, tokens: Tokens) -> None:
        if error:
            self.availability.failed(self.model, error)
        else:
            self.availability.served(self.model, tokens.total)
