"""Bounds how long a request waits for Postgres to confirm what Redis already counts.

Within a request LiteLLM compares the counter of each budget window with the ledger, every few seconds and without a
deadline. While Postgres hangs, everybody with a daily or weekly budget would hang with it, Redis being well.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

log = logging.getLogger("litellm.tollgate.ledger")

# By its primary key that is milliseconds; the first look in a new window adds up lines of the ledger instead.
DEADLINE_S = 5.0
REST_S = 5.0

Ask = Callable[..., Awaitable[float | None]]


class Bounded:
    """`ask` with a deadline. After a failure the ledger rests: one request at a time tries it, the others go on.

    None is what LiteLLM's own look-up says when the database fails; the counter in Redis then counts alone.
    """

    def __init__(
        self,
        ask: Ask,
        deadline: float = DEADLINE_S,
        rest: float = REST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._deadline, self._rest, self._clock = ask, deadline, rest, clock
        self._rests_until: float | None = None

    async def __call__(self, *args: Any, **kwargs: Any) -> float | None:
        if self._rests_until is not None:
            if self._clock() < self._rests_until:
                return None
            self._rests_until = self._clock() + self._deadline + self._rest
        try:
            spend = await asyncio.wait_for(self._ask(*args, **kwargs), self._deadline)
        except TimeoutError:
            spend = None
        if spend is not None:
            self._rests_until = None
        else:
            if self._rests_until is None:
                log.warning("the ledger does not answer: the counters in Redis hold the budgets alone meanwhile")
            self._rests_until = self._clock() + self._rest
        return spend


def bound_ledger_reads() -> None:
    """Put the deadline into LiteLLM. Without the method, a replica of another LiteLLM does not start."""
    from litellm.proxy.db.spend_counter_reseed import SpendCounterReseed

    SpendCounterReseed.window_from_db = staticmethod(Bounded(SpendCounterReseed.window_from_db))
