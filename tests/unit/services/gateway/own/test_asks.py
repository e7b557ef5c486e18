"""A process asks the ledger rarely, with few questions at once, and only to read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest
from psycopg_pool import AsyncConnectionPool

from tests.unit.services.gateway.own.books import Books
from tests.unit.services.gateway.process import run
from tollgate.ledger.summary import Summary
from tollgate.services.gateway.own import asks as module
from tollgate.services.gateway.own.asks import Asks
from tollgate.services.gateway.question import LedgerAwayError


class Counting(Asks):
    """Counts what reaches Postgres. `hold` keeps each question there."""

    asked = 0
    running = most = 0
    hold: asyncio.Event | None = None

    async def _read(self, bound: dict[str, str]) -> str:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.hold is not None:
                await self.hold.wait()
            return await super()._read(bound)
        finally:
            self.running -= 1


def with_asks(books: Books, test: Callable[[Counting, list[float]], Awaitable[None]]) -> None:
    async def go() -> None:
        now = [0.0]
        async with AsyncConnectionPool(books.address, min_size=1, open=False, kwargs={"autocommit": True}) as pool:
            asks = Counting(pool, lambda: now[0])
            await test(asks, now)
            await asks.close()

    run(go)


def test_polling_asks_postgres_once_a_second_for_each_tenant(books: Books) -> None:
    async def test(asks: Counting, now: list[float]) -> None:
        found = await asyncio.gather(*(asks("acme") for _ in range(50)))
        assert asks.asked == 1 and all(one is found[0] for one in found)
        await asks("acme")
        await asks("beta")
        assert asks.asked == 2
        now[0] += module.FRESH_S
        later = await asks("acme")
        assert asks.asked == 3 and later is not found[0]

    books.history(datetime.now(UTC).date(), days=1)
    with_asks(books, test)


def test_many_tenants_leave_connections_for_the_keys(books: Books) -> None:
    async def test(asks: Counting, now: list[float]) -> None:
        asks.hold = asyncio.Event()
        waiting = [asyncio.create_task(asks(f"tenant-{number}")) for number in range(10)]
        while asks.running < module.AT_ONCE:
            await asyncio.sleep(0.01)
        asks.hold.set()
        await asyncio.gather(*waiting)
        assert asks.most == module.AT_ONCE

    with_asks(books, test)


def test_a_client_that_leaves_takes_the_answer_from_nobody(books: Books) -> None:
    async def test(asks: Counting, now: list[float]) -> None:
        asks.hold = asyncio.Event()
        leaving, staying = asyncio.create_task(asks("acme")), asyncio.create_task(asks("acme"))
        while not asks.running:
            await asyncio.sleep(0.01)
        leaving.cancel()
        asks.hold.set()
        assert isinstance(await staying, Summary) and asks.asked == 1

    with_asks(books, test)


def test_a_ledger_that_hangs_is_a_503_after_a_while(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)

    async def test(asks: Counting, now: list[float]) -> None:
        asks.hold = asyncio.Event()
        with pytest.raises(LedgerAwayError):
            await asks("acme")
        assert not asks.running

    with_asks(books, test)


def test_a_question_cannot_write(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SUMMARY", 'DELETE FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %(tenant)s')

    async def test(asks: Counting, now: list[float]) -> None:
        with pytest.raises(LedgerAwayError):
            await asks("acme")

    books.history(datetime.now(UTC).date(), days=1)
    with_asks(books, test)
    assert books.run('SELECT count(*) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %s', "acme") != [(0,)]


def test_a_tenants_name_is_data(books: Books) -> None:
    async def test(asks: Counting, now: list[float]) -> None:
        for name in ("acme'; DROP TABLE x --", "%s %(since)s", "<script>", ""):
            assert (await asks(name)).spent("month") == 0

    books.history(datetime.now(UTC).date(), days=1)
    with_asks(books, test)
