"""Asks the ledger in Postgres for a tenant's figures, so that polling cannot load Postgres.

An answer serves everybody of its tenant for FRESH_S, and all who ask meanwhile wait for the same question. At most two
questions run at once, because requests need the same connections to look up keys.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime

from psycopg_pool import AsyncConnectionPool

from tollgate.ledger import queries, rows
from tollgate.ledger.summary import Summary, summary, values
from tollgate.services.gateway.question import AWAY, LedgerAwayError, read
from tollgate.services.gateway.shared import Shared
from tollgate.services.refusals.refusal import Refusal

FRESH_S = 1.0
PATIENCE_S = 3.0
AT_ONCE = 2
REMEMBERED = 256

_SUMMARY = queries.for_driver(queries.SUMMARY)


class Asks:
    """`pool` must be open."""

    def __init__(self, pool: AsyncConnectionPool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = pool, clock
        self._running = asyncio.Semaphore(AT_ONCE)
        self._known: OrderedDict[str, Shared[Summary]] = OrderedDict()

    async def __call__(self, tenant: str) -> Summary:
        """Raises LedgerAwayError. A question that failed also stands for FRESH_S."""
        known = self._known.get(tenant)
        if known is None:
            known = self._known[tenant] = Shared(lambda: self._ask(tenant), FRESH_S, self._clock)
        self._known.move_to_end(tenant)
        self._forget()
        return await known()

    async def close(self) -> None:
        await asyncio.gather(*(known.close() for known in self._known.values()))

    def _forget(self) -> None:
        while len(self._known) > REMEMBERED and not next(iter(self._known.values())).asking:
            self._known.popitem(last=False)

    async def _ask(self, tenant: str) -> Summary:
        try:
            async with asyncio.timeout(PATIENCE_S), self._running:
                now = datetime.now(UTC)
                text = await self._read(values(tenant, now))
        except AWAY as error:
            raise LedgerAwayError from error
        # A tenant can have thousands of keys. A thread lets requests go on meanwhile.
        return await asyncio.to_thread(lambda: summary(rows.loads(text), now))

    async def _read(self, bound: dict[str, str]) -> str:
        return await read(self._pool, _SUMMARY, bound, PATIENCE_S)


def ledger_away() -> Refusal:
    message = "The gateway cannot read the ledger at the moment. Try again."
    return Refusal(503, "api_error", "ledger_away", message, retry=True, retry_after=5)
