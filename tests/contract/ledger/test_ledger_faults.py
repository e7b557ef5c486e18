"""Each call is booked once, whatever happens to Postgres, to the shipper, or to a row."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tests.contract.ledger.database import Database
from tests.contract.ledger.shipping import Again, answer, parts, ship, shipper, spent
from tests.support.eventually import eventually
from tests.support.gateway_ledger import KEY, STARTED, begun, request_id
from tollgate.services.gateway.ledger import calls, lines
from tollgate.services.gateway.ledger import ship as shipping
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.calls import Begun
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.price import usd
from tollgate.services.gateway.ledger.recover import recover
from tollgate.services.gateway.ledger.ship import Shipper
from tollgate.services.gateway.ledger.usage import Usage

pytestmark = pytest.mark.docker


def test_shipped_twice_is_booked_once(database: Database, journal: Journal, tmp_path: Path) -> None:
    total = usd(answer(journal, 1, 2, 3))
    batch = journal.take(100)
    one = shipper(database, tmp_path, Again(batch), Again(batch))
    assert ship(one) and (one.shipped, one.repeated) == (3, 3)
    for table in ("SpendLogs", "DailyTeamSpend", "TeamTable", "VerificationToken"):
        assert spent(database, table) == total, table


def test_twin_without_the_rule_it_is_booked_twice(
    database: Database, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sums of all rows instead of the new ones: the test above would see it."""
    total = usd(answer(journal, 1, 2, 3))
    batch = journal.take(100)
    careless = shipping.statements.BOOK.replace(
        "SELECT batch.* FROM batch JOIN logged USING (request_id)", "TABLE batch"
    )
    monkeypatch.setattr(shipping.statements, "BOOK", careless)
    assert ship(shipper(database, tmp_path, Again(batch), Again(batch)))
    assert spent(database, "TeamTable") == 2 * total


def test_two_shippers_at_once_book_once(database: Database, journal: Journal, tmp_path: Path) -> None:
    total = usd(answer(journal, *range(1, 801)))
    batch = journal.take(1000)

    async def both() -> list[bool]:
        pair = [shipper(database, tmp_path, *(Again(part) for part in parts(batch, 40))) for _ in range(2)]
        try:
            return await asyncio.gather(*(one.once() for one in pair))
        finally:
            assert sum(one.shipped for one in pair) == 800 and sum(one.repeated for one in pair) == 800
            await asyncio.gather(*(one.close() for one in pair))

    assert asyncio.run(both()) == [True, True]
    for table in ("SpendLogs", "DailyTeamSpend", "TeamTable", "VerificationToken"):
        assert spent(database, table) == total, table


def test_litellm_writing_the_same_rows_meanwhile_loses_nothing(
    database: Database, journal: Journal, tmp_path: Path
) -> None:
    """LiteLLM adds to team and key with statements of its own."""
    total = usd(answer(journal, *range(1, 401)))

    async def litellm() -> None:
        connection = await database.connect()
        for _ in range(200):
            await connection.execute('UPDATE "LiteLLM_VerificationToken" SET spend = spend + 0.001')
            await connection.execute('UPDATE "LiteLLM_TeamTable" SET spend = spend + 0.001')
        await connection.close()

    async def both() -> None:
        batch = journal.take(1000)
        one = shipper(database, tmp_path, *(Again(part) for part in parts(batch, 20)))
        done, _ = await asyncio.gather(one.once(), litellm())
        await one.close()
        assert done

    asyncio.run(both())
    assert spent(database, "TeamTable") == spent(database, "VerificationToken") == total + Decimal("0.2")


def test_postgres_stops_and_comes_back(database: Database, journal: Journal, tmp_path: Path) -> None:
    total = answer(journal, 1, 2)
    one = shipper(database, tmp_path, journal)
    assert ship(one)
    database.container.get_wrapped_container().stop(timeout=10)
    try:
        total += answer(journal, *range(3, 50))
        assert not ship(one)
        assert one.failing and one.waiting_calls == 47 and one.waiting_bytes > 0 and one.lag_seconds > 0
        total += answer(journal, *range(50, 60))
        assert not ship(one) and one.waiting_calls == 57
    finally:
        database.container.get_wrapped_container().start()

    def back() -> bool:
        """Postgres takes the rest"""
        return ship(one)

    eventually(back, within=60)
    assert one.shipped == 59 and one.waiting_calls == 0 and one.lag_seconds == 0 and one.set_aside == 0
    assert spent(database, "TeamTable") == spent(database, "DailyTeamSpend") == usd(total)


def test_a_postgres_that_freezes_in_the_middle_is_left(
    database: Database, journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "PATIENCE_S", 1.0)
    total = usd(answer(journal, 1))
    one = shipper(database, tmp_path, journal)

    async def run() -> None:
        one._connection = await database.connect()
        database.container.get_wrapped_container().pause()
        try:
            assert not await asyncio.wait_for(one.once(), 30)
        finally:
            database.container.get_wrapped_container().unpause()
        assert one.waiting_calls == 1

    asyncio.run(run())
    eventually(lambda: ship(one), within=60)
    assert spent(database, "TeamTable") == total


@pytest.mark.parametrize("position", [1, 4, 7])
def test_a_row_that_postgres_refuses_keeps_nobody_waiting(
    database: Database, journal: Journal, tmp_path: Path, position: int
) -> None:
    """A call with a NUL in it, as if nothing had cleaned it."""
    total = answer(journal, *range(1, 8))
    batch = journal.take(100)
    poison = batch.calls[position - 1]
    batch.calls[position - 1] = replace(poison, begun=replace(poison.begun, session="a\0b"))
    one = shipper(database, tmp_path, Again(batch))
    assert ship(one) and (one.shipped, one.set_aside, one.waiting_calls) == (6, 1, 0)
    assert spent(database, "TeamTable") == usd(total - poison.cost)
    (line,) = (tmp_path / "volume" / "set-aside.jsonl").read_bytes().splitlines()
    content = lines.decode(line)
    assert content is not None and calls.call(content["call"]).cost == poison.cost


def test_any_number_of_refused_rows_keeps_nobody_waiting(database: Database, journal: Journal, tmp_path: Path) -> None:
    answer(journal, *range(1, 61))
    batch = journal.take(100)
    batch.calls[:-1] = [replace(call, begun=replace(call.begun, session="\0")) for call in batch.calls[:-1]]
    one = shipper(database, tmp_path, Again(batch))
    assert ship(one) and (one.shipped, one.set_aside) == (1, 59)
    assert database.sql('SELECT request_id FROM "LiteLLM_SpendLogs"') == [(request_id(60),)]


def test_no_text_of_a_client_is_refused(database: Database, journal: Journal, tmp_path: Path) -> None:
    odd = "\0\ud800\x1b'\";--\\u0000 %s {} " + "é" * 100_000
    fields = {"model": odd, "session": odd, "key_alias": odd, "address": odd, "tags": (odd, odd, "b"), "user": odd}
    answer(journal, 1, **fields)
    one = shipper(database, tmp_path, journal)
    assert ship(one) and (one.shipped, one.set_aside) == (1, 0)
    assert database.sql('SELECT count(*) FROM "LiteLLM_DailyTagSpend"') == [(2,)]


def test_a_changed_schema_sets_no_call_aside(database: Database, journal: Journal, tmp_path: Path) -> None:
    answer(journal, *range(1, 61))
    one = shipper(database, tmp_path, journal)
    database.sql('ALTER TABLE "LiteLLM_SpendLogs" ADD CONSTRAINT strict CHECK (request_duration_ms < 0)')
    try:
        assert not ship(one) and not ship(one)
        assert (one.waiting_calls, one.set_aside, one.failing) == (60, 0, "NothingAcceptedError")
    finally:
        database.sql('ALTER TABLE "LiteLLM_SpendLogs" DROP CONSTRAINT strict')
    assert ship(one) and (one.shipped, one.set_aside) == (60, 0)


def test_a_missing_table_is_no_fault_of_a_call(database: Database, journal: Journal, tmp_path: Path) -> None:
    answer(journal, 1)
    one = shipper(database, tmp_path, journal)
    database.sql('ALTER TABLE "LiteLLM_DailyModelUsage" RENAME TO elsewhere')
    try:
        assert not ship(one) and one.waiting_calls == 1 and one.failing == "UndefinedTable 42P01"
    finally:
        database.sql('ALTER TABLE elsewhere RENAME TO "LiteLLM_DailyModelUsage"')
    assert ship(one) and one.shipped == 1


@pytest.mark.parametrize(
    "limits", ["null", '"no JSON"', '[{"budget_duration": "1y"}]', "[1]", '[{"budget_duration": 5}]']
)
def test_limits_that_nobody_understands_stop_nothing(
    database: Database, journal: Journal, tmp_path: Path, limits: str
) -> None:
    database.sql('UPDATE "LiteLLM_TeamTable" SET budget_limits = %s::jsonb', limits)
    answer(journal, 1)
    one = shipper(database, tmp_path, journal)
    assert ship(one) and (one.shipped, one.set_aside) == (1, 0)


def test_what_a_killed_process_left_is_booked_with_its_interrupted_calls(database: Database, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    journal = Journal(volume, "gateway-1")
    total = answer(journal, *range(1, 21))
    journal.begin(begun(21))
    journal.begin(begun(22))
    journal.progress(request_id(22), lambda: Usage(7, 9), replace(begun().target, model="another-model"))
    journal._lock.release()  # as the kernel does for a process that is killed
    (left,) = recover(volume)
    assert left.waiting_calls == 22
    one = shipper(database, tmp_path, left)
    assert ship(one) and one.shipped == 22 and one.sources == [] and left.finished
    # 400 characters are 100 tokens of input at a dollar a million; seven in and nine out are 52 millionths.
    assert spent(database, "TeamTable") == usd(total) + Decimal("0.0001") + Decimal("0.000052")
    found = database.sql(
        "SELECT model, metadata->'error_information'->>'error_class' FROM \"LiteLLM_SpendLogs\""
        " WHERE status = 'failure' ORDER BY request_id"
    )
    assert found == [("anthropic/claude-sonnet-5-5", "Interrupted"), ("another-model", "Interrupted")]
    assert recover(volume) == [] and list(volume.iterdir()) == []
    journal._syncer.stop()


def test_the_task_ships_by_itself_until_it_is_stopped(database: Database, journal: Journal, tmp_path: Path) -> None:
    one = Shipper([journal], database.connect, Aside(tmp_path / "volume" / "set-aside.jsonl"), every=0.05)

    async def run() -> None:
        stop = asyncio.Event()
        task = asyncio.create_task(one.run(stop))
        answer(journal, 1, 2)
        while one.shipped < 2:
            await asyncio.sleep(0.05)
        answer(journal, 3)
        stop.set()
        await task

    asyncio.run(asyncio.wait_for(run(), 60))
    assert one.shipped == 3 and one.waiting_calls == 0


def test_twin_a_begun_call_alone_is_not_an_answer(journal: Journal) -> None:
    journal.begin(Begun(request_id(1), STARTED, KEY, "payer", "sonnet", "anthropic_messages", begun().target))
    assert not journal.take(10) and journal.waiting_calls == 0
