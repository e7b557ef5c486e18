"""Limits how long a request waits for Postgres to confirm the counters in Redis.

Every few seconds LiteLLM compares the counter of each budget window with the ledger, inside a request and without a
timeout. If Postgres hung, every request with a daily or weekly budget would hang too, although Redis works.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

log = logging.getLogger("litellm.tollgate.ledger")

# A look-up by primary key takes milliseconds. The first one in a new window takes longer: it adds up ledger rows.
DEADLINE_S = 5.0
REST_S = 5.0

Ask = Callable[..., Awaitable[float | None]]


class Bounded:
    """`ask` with a timeout. After a failure it pauses: only one request at a time tries again, the others get None.

    LiteLLM's own look-up also returns None if the database fails. Then only the counter in Redis counts.
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
                log.warning("the ledger does not answer: until it does, only the counters in Redis enforce budgets")
            self._rests_until = self._clock() + self._rest
        return spend


def bound_ledger_reads() -> None:
    """Patch LiteLLM with the timeout. If its method is missing, the replica does not start."""
    from litellm.proxy.db.spend_counter_reseed import SpendCounterReseed

    SpendCounterReseed.window_from_db = staticmethod(Bounded(SpendCounterReseed.window_from_db))
