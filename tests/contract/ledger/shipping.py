"""Helpers for tests of the journal and the shipper."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.contract.ledger.database import Database
from tests.support.gateway_ledger import begun, outcome, request_id
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.reader import Batch, Source
from tollgate.services.gateway.ledger.ship import Shipper

LIMITS = [{"budget_duration": "1d", "max_budget": 5.0, "reset_at": "2026-11-22T00:00:00+00:00"}]


def answer(journal: Journal, *numbers: int, **more: Any) -> int:
    """Answer these calls; what they cost together, in nano-dollars."""
    total = 0
    for number in numbers:
        journal.begin(begun(number, **more))
        total += journal.end(request_id(number), outcome(number)).cost
    return total


def shipper(database: Database, tmp_path: Path, *sources: Source) -> Shipper:
    return Shipper(sources, database.connect, Aside(tmp_path / "volume" / "set-aside.jsonl"))


def ship(one: Shipper) -> bool:
    async def run() -> bool:
        try:
            return await one.once()
        finally:
            await one.close()

    return asyncio.run(run())


def spent(database: Database, table: str, where: str = "true") -> Decimal:
    found = database.sql(f'SELECT coalesce(sum(spend::numeric), 0) FROM "LiteLLM_{table}" WHERE {where}')  # noqa: S608
    return Decimal(found[0][0])


class Again:
    """A source of one batch, as another process has it that ships the same file."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    @property
    def waiting_calls(self) -> int:
        return len(self._batch.calls)

    @property
    def waiting_bytes(self) -> int:
        return 0

    @property
    def finished(self) -> bool:
        return not self._batch

    def take(self, most: int) -> Batch:
        return self._batch

    def done(self, batch: Batch) -> None:
        self._batch = Batch()


def parts(batch: Batch, size: int) -> list[Batch]:
    return [Batch(batch.calls[at : at + size]) for at in range(0, len(batch.calls), size)]
