"""Whether a failed call is sent again, and after how many seconds. Pure: no clock, no I/O.

A call that may have reached a model is not sent again: it could be paid twice. So a generation is repeated only if
it never left this machine, or if the gateway refused it without passing it on.
"""

from __future__ import annotations

from dataclasses import dataclass

from tollgate_client.errors import BudgetSpentError, GatewayConnectionError, StatusError, TollgateError

# If an answer has no x-should-retry: these statuses mean that the request was not processed.
_NOT_PROCESSED = frozenset({408, 425, 429, 503, 529})
# The gateway, or a proxy before it, failed at an unknown moment: only calls that cost nothing are repeated.
_UNKNOWN = frozenset({500, 502, 504})


@dataclass(frozen=True)
class Retries:
    """`most` attempts after the first. Waits grow from `first` to `longest` seconds.

    The gateway's own Retry-After counts instead, if it is at most `patience` seconds; a longer one ends the call at
    once, so that your program can decide.
    """

    most: int = 2
    first: float = 0.5
    longest: float = 8.0
    patience: float = 60.0

    def wait(self, error: TollgateError, attempt: int, chance: float, *, free: bool) -> float | None:
        """Seconds to wait before attempt number `attempt` + 1; None to give up.

        `attempt` counts from 1. `chance` from 0 to 1 spreads clients that failed together. `free` says that the call
        costs nothing, such as a list.
        """
        if attempt > self.most or not _repeatable(error, free=free):
            return None
        asked = error.retry_after if isinstance(error, StatusError) else None
        if asked is not None:
            return asked if asked <= self.patience else None
        grown = min(self.longest, self.first * 2.0 ** min(attempt - 1, 30))
        return grown * (0.75 + chance / 4)


def _repeatable(error: TollgateError, *, free: bool) -> bool:
    if isinstance(error, GatewayConnectionError):
        return free or not error.sent
    if not isinstance(error, StatusError) or isinstance(error, BudgetSpentError):
        return False
    if error.should_retry is not None:
        return error.should_retry
    return error.status in _NOT_PROCESSED or (free and error.status in _UNKNOWN)
