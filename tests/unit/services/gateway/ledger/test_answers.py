"""A budget whose counter is lost starts again where it stood: what the ledger answers is what the counters had.

Requests are booked as gateway processes book them, in LiteLLM's own tables in a real PostgreSQL.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg_pool import AsyncConnectionPool

from tests.support.postgres_server import Server
from tests.unit.services.gateway.own.books import Books, migrated, token
from tests.unit.services.gateway.process import QUESTION, caller, catalogue, messages, model
from tollgate.services.gateway import booking
from tollgate.services.gateway.call import Call
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue, Protocol
from tollgate.services.gateway.ledger import rows, statements
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.usage import Usage
from tollgate.services.gateway.spent import LedgerQuestions
from tollgate.services.limits import questions
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.outcome import Admitted
from tollgate.services.limits.rule import MONEY
from tollgate.services.limits.spent import Question

EACH = {"monthly_limit": 1000, "per_model": {"sonnet": {"1mo": 1000}, "haiku": {"1mo": 1000}}}
NOWHERE: Any = SimpleNamespace(url="http://127.0.0.1:9")
FALLBACKS = {"sonnet": ("haiku",), "fast": ("haiku",), "haiku": ("small",)}
SERVED: Catalogue = catalogue(
    *(model(messages(NOWHERE, f"{name}-1"), messages(NOWHERE, f"{name}-2"), name=name) for name in ("sonnet", "haiku")),
    model(messages(NOWHERE, "small-1"), name="small"),
    aliases={"fast": "sonnet"},
    fallbacks=FALLBACKS,
)
# Postgres has this function since 16; a machine's own may be older than the one that we deploy.
INPUT_IS_VALID = """
CREATE FUNCTION public.pg_input_is_valid(written text, type text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('SELECT %L::%s', written, type);
  RETURN true;
EXCEPTION WHEN data_exception THEN RETURN false;
END $$
"""
ASK = st.tuples(st.sampled_from(["sonnet", "fast", "haiku"]), st.integers(0, 3), st.booleans())
STEPS = st.lists(st.one_of(ASK, st.sampled_from(["rotate", "delete"])), max_size=12)


@pytest.fixture
def books(server: Server, answers_database: None) -> Books:
    if server.process is None:
        server.start()
    books = Books(server, "answers")
    books.empty()
    return books


@pytest.fixture(scope="module")
def answers_database(server: Server) -> None:
    if server.process is None:
        server.start()
    migrated(server, "answers")
    Books(server, "answers").run(INPUT_IS_VALID)


async def nothing(asked: Sequence[Question]) -> list[int | None]:
    return [0 for _ in asked]


@dataclass
class Played:
    """One tenant with one named key, whose living tokens are `keys`, the newest last."""

    books: Books
    journal: Journal
    limiter: Limiter
    keys: list[str] = field(default_factory=list)
    names: Iterator[int] = field(default_factory=itertools.count)

    def rotate(self) -> None:
        self.keys.append(self.books.key("ci", at=token(f"{next(self.names)}")))

    def delete(self) -> None:
        """The oldest key, unless it is the only one."""
        if len(self.keys) > 1:
            gone = self.keys.pop(0)
            self.books.run('DELETE FROM "LiteLLM_VerificationToken" WHERE token = %s', gone)
            self.books.key("ci", at=gone, table="DeletedVerificationToken")

    def who(self, key: str) -> Caller:
        metadata = {"managed_by": "tollgate", "name": "ci", "limits": EACH}
        return caller(EACH, key={"token": key, "metadata": metadata})

    async def ask(self, name: str, failing: int, old: bool) -> None:
        """The first `failing` targets fail: those of the model, and then those of its fallback."""
        asked = SERVED.model(name)
        assert asked is not None
        send: Any = None
        who = self.who(self.keys[0] if old else self.keys[-1])
        body = {**QUESTION, "model": name}
        text = json.dumps(body).encode()
        call = Call(secrets.token_hex(16), {}, send, send, who, Protocol.MESSAGES, text, body, name, asked, time.time())
        booked = await booking.admit(self.limiter, self.journal, call)
        for other in FALLBACKS[name][: failing // 2]:
            for target in asked.targets:
                booked.asks(asked, target)
            fallback = SERVED.model(other)
            assert fallback is not None and await booked.switch(fallback)
            asked = fallback
        booked.asks(asked, asked.targets[failing % len(asked.targets)])
        await booked.end(Usage(input=100 + next(self.names), output=7), 200, "")

    def ship(self) -> None:
        while batch := self.journal.take(100):
            with psycopg.connect(self.books.address, autocommit=True) as connection:
                values = {"batch": rows.batch(batch.calls), "teams": ["acme"], "keys": self.keys}
                connection.execute(statements.BOOK.encode(), values)
            self.journal.done(batch)

    async def counted(self, limiter: Limiter) -> dict[str, int]:
        rules = [rule for rule in self.who(self.keys[-1]).rules if rule.kind == MONEY]
        looked = await limiter.look(rules, datetime.now(UTC))
        return {f"{rule.holder} {rule.model}": one.used for rule, one in zip(rules, looked, strict=True) if one}


def play(books: Books, steps: Sequence[Any]) -> None:
    async def go(directory: Path) -> None:
        journal = Journal(directory, "gateway-1")
        played = Played(books, journal, Limiter(LocalCounters(), nothing))
        played.rotate()
        for name in ("sonnet", "haiku"):
            await played.ask(name, 0, False)
        for step in steps:
            if isinstance(step, str):
                getattr(played, step)()
            else:
                await played.ask(*step)
        played.ship()
        async with AsyncConnectionPool(books.address, min_size=1, open=False) as pool:
            emptied = Limiter(LocalCounters(), LedgerQuestions(pool, SERVED))
            rules = played.who(played.keys[-1]).rules
            for name in ("sonnet", "haiku"):
                assert isinstance(await emptied.admit(rules, name, name, 0, 1, datetime.now(UTC)), Admitted)
            known, remembered = await played.counted(emptied), await played.counted(played.limiter)
        assert len(remembered) == 6
        assert known == remembered, "the ledger answers something else"
        for limiter in (emptied, played.limiter):
            await limiter.close()
        journal.close()

    books.empty()
    books.team()
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(go(Path(directory)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_after_any_rotation_the_ledger_answers_what_was_counted(books: Books, steps: list[Any]) -> None:
    play(books, steps)


# The fallback answers from a target that nobody else asked, so the line of the day is its own.
FELL_BACK, ROTATED = [("sonnet", 3, False)], [("haiku", 0, False), "rotate", "delete"]


def test_twin_a_fallback_under_the_name_that_was_asked_for_is_noticed(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(books, FELL_BACK)
    plain = booking.ledger_target
    monkeypatch.setattr(booking, "ledger_target", lambda target, model, group="": plain(target, model))
    with pytest.raises(AssertionError, match="something else"):
        play(books, FELL_BACK)


def test_twin_an_answer_without_deleted_keys_is_noticed(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    play(books, ROTATED)
    living = questions._SAME_NAME.partition(" UNION ALL ")[0] + "))"
    monkeypatch.setattr(questions, "_SAME_NAME", living)
    with pytest.raises(AssertionError, match="something else"):
        play(books, ROTATED)
