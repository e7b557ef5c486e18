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

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from tollgate.ledger import queries, rows
from tollgate.ledger.summary import Summary, summary, values
from tollgate.services.refusals.refusal import Refusal

FRESH_S = 1.0
PATIENCE_S = 3.0
AT_ONCE = 2
REMEMBERED = 256

_SUMMARY = queries.for_driver(queries.SUMMARY)


class LedgerAwayError(Exception):
    """The ledger does not answer in time."""


class Asks:
    """`pool` must be open."""

    def __init__(self, pool: AsyncConnectionPool, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._clock = pool, clock
        self._running = asyncio.Semaphore(AT_ONCE)
        self._known: OrderedDict[str, tuple[float, asyncio.Task[Summary]]] = OrderedDict()

    async def __call__(self, tenant: str) -> Summary:
        """Raises LedgerAwayError. A question that failed also stands for FRESH_S."""
        asked, task = self._known.get(tenant, (0.0, None))
        if task is None or (task.done() and self._clock() - asked >= FRESH_S):
            task = asyncio.create_task(self._ask(tenant))
            # Without this, asyncio complains of a failure that nobody has waited for.
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            self._known[tenant] = (self._clock(), task)
            self._known.move_to_end(tenant)
            self._forget()
        return await asyncio.shield(task)

    async def close(self) -> None:
        tasks = [task for _, task in self._known.values() if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self) -> None:
        while len(self._known) > REMEMBERED and next(iter(self._known.values()))[1].done():
            self._known.popitem(last=False)

    async def _ask(self, tenant: str) -> Summary:
        try:
            async with asyncio.timeout(PATIENCE_S), self._running:
                now = datetime.now(UTC)
                text = await self._read(values(tenant, now))
        except (psycopg.Error, PoolTimeout, TimeoutError, OSError) as error:
            raise LedgerAwayError from error
        # A tenant can have thousands of keys. A thread lets requests go on meanwhile.
        return await asyncio.to_thread(lambda: summary(rows.loads(text), now))

    async def _read(self, bound: dict[str, str]) -> str:
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION READ ONLY")
            await connection.execute(f"SET LOCAL statement_timeout = '{PATIENCE_S:.0f}s'")
            row = await (await connection.execute(_SUMMARY, bound)).fetchone()
        assert row is not None, "json_build_object always answers one row"  # noqa: S101
        return str(row[0])


def ledger_away() -> Refusal:
    message = "The gateway cannot read the ledger at the moment. Try again."
    return Refusal(503, "api_error", "ledger_away", message, retry=True, retry_after=5)
