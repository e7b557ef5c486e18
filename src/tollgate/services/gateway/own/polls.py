"""How often a tenant may ask for its usage: one browser tab asks every ten seconds, and a team has many tabs."""

from __future__ import annotations

import time
from collections.abc import Callable

from tollgate.services.refusals.refusal import Refusal, rate_limited

# A tenant gets MOST answers in WINDOW_S seconds from each process.
MOST = 60
WINDOW_S = 10
REMEMBERED = 10_000


class Polls:
    """`wait` counts a question. Windows are those of the clock, for all tenants the same."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._window = 0
        self._counts: dict[str, int] = {}

    def wait(self, tenant: str) -> int:
        """0 if the tenant gets an answer, otherwise the seconds until it may ask again."""
        now = self._clock()
        window = int(now // WINDOW_S)
        if window != self._window or len(self._counts) > REMEMBERED:
            self._window, self._counts = window, {}
        self._counts[tenant] = self._counts.get(tenant, 0) + 1
        if self._counts[tenant] <= MOST:
            return 0
        return max(1, round((window + 1) * WINDOW_S - now))


def too_often(seconds: int) -> Refusal:
    message = f"Usage was asked for too often: a tenant gets {MOST} answers in {WINDOW_S} s. Try again in {seconds} s."
    return rate_limited("usage_too_often", message, seconds)
