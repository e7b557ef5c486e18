"""Asks the ledger what a tenant or a key has spent in a window, for budgets whose counter Redis does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncRawCursor
from psycopg_pool import AsyncConnectionPool

from tollgate.services.gateway.catalogue import Catalogue
from tollgate.services.limits.questions import statements
from tollgate.services.limits.spent import Question


class LedgerQuestions:
    """The callable that services/limits/spent.py wants."""

    def __init__(self, pool: AsyncConnectionPool, catalogue: Catalogue) -> None:
        self._pool, self._aliases = pool, catalogue.aliases

    async def __call__(self, questions: Sequence[Question]) -> list[int | None]:
        async with self._pool.connection() as connection:
            return [await self._answer(connection, question) for question in questions]

    async def _answer(self, connection: Any, question: Question) -> int:
        nano = 0
        for statement in statements(question, self._aliases):
            cursor = AsyncRawCursor(connection)
            await cursor.execute(statement.sql, statement.values)
            row = await cursor.fetchone()
            nano += int(row[0]) if row else 0
        return nano
