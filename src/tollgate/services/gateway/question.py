"""One question to the ledger in Postgres that changes nothing, and that Postgres ends if it takes too long."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout

# Such a question raises one of these while Postgres does not answer. A caller's own timeout is among them.
AWAY = (psycopg.Error, PoolTimeout, TimeoutError, OSError)


class LedgerAwayError(Exception):
    """The ledger did not answer in time."""


async def read(pool: AsyncConnectionPool, question: str, bound: Any, patience_s: float) -> str:
    """The text of the one row that `question` answers. Raises one of AWAY; `patience_s` bounds the question itself."""
    async with pool.connection() as connection, connection.transaction():
        await connection.execute("SET TRANSACTION READ ONLY")
        await connection.execute(f"SET LOCAL statement_timeout = '{patience_s:.0f}s'")
        row = await (await connection.execute(question, bound)).fetchone()
    assert row is not None, "an aggregate always answers one row"  # noqa: S101
    return str(row[0])
