"""When the shipper tries, waits, sets aside and leaves. Postgres is a stand-in here, tests/contract/gateway has a real
one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.gateway_ledger import STARTED, begun, outcome, request_id
from tollgate.services.gateway.ledger import ship as module
from tollgate.services.gateway.ledger import statements
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.reader import Batch
from tollgate.services.gateway.ledger.ship import Shipper

CALLS = [Call.of(begun(number), outcome(number)) for number in range(1, 9)]


@dataclass
class Postgres:
    """Books ids. `poison` are refused for their data, `broken` refuses everything, `away` takes no connection."""

    booked: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    broken: bool = False
    away: bool = False
    error: Exception | None = None
    connections: int = 0

    async def connect(self) -> Any:
        if self.away:
            raise psycopg.OperationalError("connection refused")
        self.connections += 1
        return Connection(self)


@dataclass
class Connection:
    postgres: Postgres
    ids: set[str] = field(default_factory=set)
    new: int = 0

    @asynccontextmanager
    async def transaction(self, force_rollback: bool = False) -> AsyncIterator[None]:
        self.ids = set()
        yield
        if not force_rollback:
            self.postgres.booked |= self.ids

    async def execute(self, query: Any, parameters: Any = None) -> Connection:
        if self.postgres.error:
            raise self.postgres.error
        if query == statements.BOOK.encode():
            self.ids = {row["request_id"] for row in json.loads(parameters["batch"])}
            if self.postgres.broken or self.ids & self.postgres.poison:
                raise psycopg.errors.UntranslatableCharacter
            self.new = len(self.ids - self.postgres.booked)
        return self

    async def fetchone(self) -> tuple[int]:
        return (self.new,)

    async def close(self) -> None:
        self.postgres.connections -= 1


class Waiting:
    """A source of calls in memory."""

    def __init__(self, *calls: Call, unreadable: tuple[bytes, ...] = (), error: Exception | None = None) -> None:
        self.calls, self.unreadable, self.error = list(calls), list(unreadable), error

    @property
    def waiting_calls(self) -> int:
        return len(self.calls) + len(self.unreadable)

    @property
    def waiting_bytes(self) -> int:
        return 100 * self.waiting_calls

    finished = False

    def take(self, most: int) -> Batch:
        if self.error:
            raise self.error
        return Batch(self.calls[:most], self.unreadable[:most])

    def done(self, batch: Batch) -> None:
        del self.calls[: len(batch.calls)], self.unreadable[: len(batch.unreadable)]


def run(what: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(what)


def shipper(postgres: Postgres, tmp_path: Path, *sources: Waiting, **options: Any) -> Shipper:
    return Shipper(sources, postgres.connect, Aside(tmp_path / "aside.jsonl"), **options)


def test_it_ships_in_batches_over_one_connection(tmp_path: Path) -> None:
    postgres = Postgres()
    one = shipper(postgres, tmp_path, Waiting(*CALLS), Waiting(*CALLS[:2]), most=3)
    assert run(one.once()) and (one.shipped, one.repeated, one.waiting_calls) == (8, 2, 0)
    assert postgres.connections == 1 and postgres.booked == {request_id(number) for number in range(1, 9)}


def test_while_postgres_is_away_it_says_how_far_it_is_behind(tmp_path: Path) -> None:
    postgres = Postgres(away=True)
    now = [STARTED / 1000 + 60]
    one = shipper(postgres, tmp_path, Waiting(*CALLS), now=lambda: now[0])
    assert one.lag_seconds == 0 and not run(one.once())
    assert one.lag_seconds == pytest.approx(57.5) and (one.waiting_calls, one.waiting_bytes) == (8, 800)
    assert (one.failures, one.failing) == (1, "OperationalError")
    now[0] += 10
    assert one.lag_seconds == pytest.approx(67.5)
    postgres.away = False
    assert run(one.once()) and (one.lag_seconds, one.failing, one.waiting_calls) == (0, "", 0)


def test_a_clock_that_was_set_back_gives_no_negative_lag(tmp_path: Path) -> None:
    one = shipper(Postgres(away=True), tmp_path, Waiting(*CALLS), now=lambda: 0.0)
    assert not run(one.once()) and one.lag_seconds == 0


def test_a_connection_that_breaks_is_replaced(tmp_path: Path) -> None:
    postgres = Postgres()
    source = Waiting(CALLS[0])
    one = shipper(postgres, tmp_path, source)
    assert run(one.once())
    source.calls.append(CALLS[1])
    postgres.error = psycopg.errors.AdminShutdown()
    assert not run(one.once()) and one.failing == "AdminShutdown 57P01" and postgres.connections == 0
    postgres.error = None
    assert run(one.once()) and one.shipped == 2 and postgres.connections == 1


@pytest.mark.parametrize("poison", [{1}, {8}, {4, 5}, {1, 3, 5, 7}, set(range(1, 9))])
def test_refused_calls_are_set_aside_and_the_rest_goes_on(tmp_path: Path, poison: set[int]) -> None:
    """Also if they are all that waits: one that is surely right is accepted, so it is their data."""
    postgres = Postgres(poison={request_id(number) for number in poison})
    one = shipper(postgres, tmp_path, Waiting(*CALLS))
    assert run(one.once())
    assert (one.shipped, one.set_aside, one.waiting_calls) == (8 - len(poison), len(poison), 0)
    kept = [json.loads(line)["call"]["begun"]["id"] for line in (tmp_path / "aside.jsonl").read_bytes().splitlines()]
    assert kept == sorted(postgres.poison) and postgres.booked.isdisjoint(postgres.poison)


def test_a_postgres_that_accepts_nothing_gets_the_calls_later(tmp_path: Path) -> None:
    postgres = Postgres(broken=True)
    one = shipper(postgres, tmp_path, Waiting(*CALLS))
    assert not run(one.once()) and one.failing == "NothingAcceptedError"
    assert (one.waiting_calls, one.set_aside) == (8, 0) and not (tmp_path / "aside.jsonl").exists()
    postgres.broken = False
    assert run(one.once()) and one.shipped == 8


def test_a_time_that_no_calendar_has_is_set_aside(tmp_path: Path) -> None:
    never = replace(CALLS[0], begun=replace(CALLS[0].begun, started=10**18))
    one = shipper(Postgres(), tmp_path, Waiting(never, CALLS[1]))
    assert run(one.once()) and (one.shipped, one.set_aside) == (1, 1)


def test_lines_that_nobody_can_read_are_set_aside_as_they_are(tmp_path: Path) -> None:
    one = shipper(Postgres(), tmp_path, Waiting(CALLS[0], unreadable=(b'{"crc":"x"}', b"odd")))
    assert run(one.once()) and (one.shipped, one.set_aside) == (1, 2)
    assert (tmp_path / "aside.jsonl").read_bytes() == b'{"crc":"x"}\nodd\n'


def test_nothing_is_forgotten_that_cannot_be_set_aside(tmp_path: Path) -> None:
    source = Waiting(CALLS[0], unreadable=(b"odd",))
    one = Shipper([source], Postgres().connect, Aside(tmp_path / "missing" / "aside.jsonl"))
    assert not run(one.once()) and one.waiting_calls == 2 and one.failing == "FileNotFoundError"


def test_a_file_that_cannot_be_read_keeps_no_other_waiting(tmp_path: Path) -> None:
    broken = Waiting(error=OSError(5, "Input/output error"))
    one = shipper(Postgres(), tmp_path, broken, Waiting(*CALLS))
    assert not run(one.once()) and one.shipped == 8 and one.failing == "OSError"


def test_a_mistake_of_ours_does_not_end_it(tmp_path: Path) -> None:
    source = Waiting(CALLS[0], error=RuntimeError("a bug"))
    one = shipper(Postgres(), tmp_path, source)
    assert not run(one.once()) and one.failing == "RuntimeError"
    source.error = None
    assert run(one.once()) and one.shipped == 1


def test_what_is_finished_is_left(tmp_path: Path) -> None:
    source = Waiting(CALLS[0])
    source.finished = True
    one = shipper(Postgres(), tmp_path, source)
    assert run(one.once()) and one.sources == []


def test_it_waits_longer_each_time_and_never_longer_than_half_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = Postgres(away=True)
    one = shipper(postgres, tmp_path, Waiting(*CALLS))
    pauses: list[float] = []

    async def until() -> None:
        stop = asyncio.Event()

        async def wait_for(waiting: Coroutine[Any, Any, Any], pause: float) -> None:
            waiting.close()
            pauses.append(pause)
            postgres.away = len(pauses) < 8
            if len(pauses) == 10:
                stop.set()
            raise TimeoutError

        monkeypatch.setattr(module.asyncio, "wait_for", wait_for)
        await one.run(stop)

    run(until())
    assert pauses == [2, 4, 8, 16, 30, 30, 30, 30, 1, 1]
    assert one.shipped == 8 and postgres.connections == 0


def test_its_last_try_is_after_it_was_told_to_stop(tmp_path: Path) -> None:
    postgres, source = Postgres(), Waiting()
    one = shipper(postgres, tmp_path, source)

    async def stopped() -> None:
        stop = asyncio.Event()
        stop.set()
        source.calls.append(CALLS[0])
        await one.run(stop)

    run(stopped())
    assert one.shipped == 1 and postgres.connections == 0
