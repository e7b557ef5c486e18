"""Copies of keys in Redis, with a real PostgreSQL that goes away, and a real Redis."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.redis_server import redis_server
from tests.unit.services.gateway.database import TOKEN, Database
from tests.unit.services.gateway.looking import Looking, looking
from tests.unit.services.gateway.process import KEY, key_row, run, team_row
from tollgate.services.gateway import key_copies
from tollgate.services.gateway.caller import of_rows
from tollgate.services.gateway.key_copies import COPY_S, EPOCH, SPACE, KeyCopies
from tollgate.services.gateway.keys import Waits
from tollgate.services.limits.clock import AHEAD_S
from tollgate.services.limits.resp import Redis
from tollgate.services.requests.holder import KeysAwayError

SECRET = "handover-0123456789abcdef"
SHORT = Waits(0.1, 0.1, 0.05)
COPY = f"{SPACE}key:{TOKEN}"


@dataclass
class Cluster:
    """Gateway processes at one Postgres and one Redis. `redis` is the test's own connection."""

    database: Database
    address: str
    redis: Redis

    @asynccontextmanager
    async def process(self, secret: str = SECRET, **more: Any) -> AsyncIterator[Looking]:
        client = Redis(self.address)
        copies = KeyCopies(client, secret)
        async with looking(self.database.server, copies=copies, **more) as here:
            here.keys.waits = SHORT if not more.get("listen", True) else here.keys.waits
            try:
                yield here
            finally:
                await copies.close()
                client.close()

    async def postgres_goes(self) -> None:
        await asyncio.to_thread(self.database.server.stop)

    async def copied(self, name: str = COPY, there: int = 1) -> None:
        await until(lambda: self._exists(name, there))

    async def _exists(self, name: str, there: int) -> bool:
        return bool(await self.redis.command("EXISTS", name) == there)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await holds():
            await asyncio.sleep(0.01)


@pytest.fixture
def cluster(database: Database, redis: str) -> Callable[[Callable[[Cluster], Awaitable[None]]], None]:
    def runs(test: Callable[[Cluster], Awaitable[None]]) -> None:
        async def with_redis() -> None:
            client = Redis(redis)
            await client.command("FLUSHALL")
            try:
                await test(Cluster(database, redis, client))
            finally:
                client.close()

        run(with_redis)

    return runs


async def is_unknown(here: Looking) -> bool:
    try:
        await here.keys.find(KEY)
    except KeysAwayError:
        return True
    return False


def test_a_process_knows_a_key_of_another_while_postgres_is_away(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        async with all_.process() as first:
            before = await first.caller()
            await all_.copied()
            await all_.postgres_goes()
            async with all_.process(listen=False) as second:
                assert await second.caller() == before
                with pytest.raises(KeysAwayError):
                    await second.keys.find("sk-nobody-knows-it")

    cluster(test)


def test_twin_without_the_copy_the_key_is_unknown(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        async with all_.process() as first:
            await first.caller()
            await all_.copied()
            await all_.postgres_goes()
            await all_.redis.command("DEL", COPY)
            async with all_.process(listen=False) as second:
                assert await is_unknown(second)

    cluster(test)


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE "LiteLLM_VerificationToken" SET blocked = true',
        'DELETE FROM "LiteLLM_VerificationToken"',
        "UPDATE \"LiteLLM_VerificationToken\" SET expires = now() AT TIME ZONE 'utc'",
        'UPDATE "LiteLLM_TeamTable" SET blocked = true',
    ],
    ids=["blocked", "deleted", "expired by a rotation", "suspended"],
)
def test_a_key_that_was_closed_before_does_not_come_back(cluster: Any, change: str) -> None:
    async def test(all_: Cluster) -> None:
        async with all_.process() as first:
            await first.caller()
            team = key_copies._name("team", "acme")
            await all_.copied()
            await all_.copied(team)
            all_.database.sql(change)
            await all_.copied(team if "Team" in change else COPY, there=0)
            await all_.postgres_goes()
            async with all_.process(listen=False) as second:
                assert await is_unknown(second)

    cluster(test)


def test_twin_without_notices_a_process_leaves_no_copy(cluster: Any) -> None:
    """It could not delete it."""

    async def test(all_: Cluster) -> None:
        async with all_.process(listen=False) as deaf:
            deaf.keys.waits = Waits()
            await deaf.caller()
            assert deaf.keys._copies is not None and not deaf.keys._copies._waiting
        assert await all_.redis.command("EXISTS", COPY) == 0

    cluster(test)


def test_a_key_that_expires_meanwhile_is_closed_by_its_copy(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        soon = datetime.now(UTC) + timedelta(seconds=3)
        all_.database.sql('UPDATE "LiteLLM_VerificationToken" SET expires = %s', soon.replace(tzinfo=None))
        async with all_.process() as first:
            await first.caller()
            await all_.copied()
            await all_.postgres_goes()
            async with all_.process(listen=False) as second:
                caller = await second.caller()
                assert caller.expires == soon and not caller.closed_at(soon - timedelta(seconds=1))
                assert caller.closed_at(soon)

    cluster(test)


def test_a_process_that_begins_to_listen_ends_older_copies(cluster: Any) -> None:
    """Rows may have changed while nobody listened."""

    async def test(all_: Cluster) -> None:
        async with all_.process() as first:
            await first.caller()
            await all_.copied()
        epoch = int(await all_.redis.command("GET", EPOCH))
        async with all_.process():
            await until(lambda: _later(all_, epoch))
        await all_.postgres_goes()
        async with all_.process(listen=False) as third:
            assert await all_.redis.command("EXISTS", COPY) == 1, "it is there, and nobody believes it"
            assert await is_unknown(third)

    async def _later(all_: Cluster, epoch: int) -> bool:
        return int(await all_.redis.command("GET", EPOCH)) > epoch

    cluster(test)


def test_a_change_that_redis_does_not_hear_is_told_later(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        copies = KeyCopies(Redis("127.0.0.1:9"), SECRET)
        copies.changed("key", TOKEN)
        await asyncio.sleep(0)
        assert await copies.read(TOKEN) is None, "a copy may be older than the change"
        await all_.redis.command("SET", COPY, "anything")
        copies._redis = all_.redis
        await all_.copied(there=0)
        await copies.close()

    cluster(test)


# ---- what Redis holds, and what is believed of it


async def written(client: Redis, **more: Any) -> str:
    """The copy of a key of tenant acme, as it stands in Redis."""
    copies = KeyCopies(client, SECRET)
    copies.keep(key_row(), team_row({"daily_limit": 5}))
    for name, value in more.items():
        setattr(copies, name, value)
    await until(lambda: _there(client))
    await until(lambda: _done(copies))
    return str(await client.command("GET", COPY))


async def _there(client: Redis) -> bool:
    return bool(await client.command("EXISTS", COPY))


async def _done(copies: KeyCopies) -> bool:
    return not copies._waiting


def test_a_copy_holds_no_key_and_no_row_that_is_not_needed(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        text = await written(all_.redis)
        row = json.loads(text.rpartition(".")[0])["row"]
        assert row.keys() == set(key_copies.KEY_COLUMNS)
        names = await all_.redis.command("KEYS", "*")
        assert sorted(names) == sorted([COPY, key_copies._name("team", "acme")])
        assert KEY not in text and "acme" not in "".join(names)
        for name in names:
            assert 0 < await all_.redis.command("TTL", name) <= COPY_S

    cluster(test)


def test_rows_come_back_as_the_same_caller(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        expires = datetime(2030, 1, 31, 12, 30, 15, 123456)
        key = key_row(expires=expires, models=["sonnet"], user_id="someone", blocked=False)
        limits = {"daily_limit": 5, "requests_per_minute": 3, "per_model": {"opus": {"1d": 1}}, "soft_limit": 2.5}
        team = team_row(limits, created_at=datetime(2026, 1, 2, 3, 4, 5, 678901), team_alias="Acme")
        copies = KeyCopies(all_.redis, SECRET)
        copies.keep(key, team)
        await until(lambda: _done(copies))
        copy = await copies.read(TOKEN)
        assert copy is not None and of_rows(copy.key, copy.team) == of_rows(key, team)

    cluster(test)


def test_nobody_can_make_a_key_in_redis(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        text = await written(all_.redis)
        body, _, mac = text.rpartition(".")
        other = f"{SPACE}key:{'a' * 64}"
        foreign = KeyCopies(all_.redis, "another secret")
        forged = [
            (TOKEN, COPY, text.replace("default", "admin")),
            (TOKEN, COPY, f"{body}."),
            (TOKEN, COPY, mac),
            (TOKEN, COPY, ""),
            (TOKEN, COPY, f"{body}.{foreign._mac(COPY, body)}"),
            ("a" * 64, other, text),
            (TOKEN, COPY, f"é{text}"),
        ]
        reader = KeyCopies(all_.redis, SECRET)
        assert await reader.read(TOKEN) is not None
        for token, name, said in forged:
            await all_.redis.command("SET", name, said)
            assert await reader.read(token) is None, said
        await all_.redis.command("SET", COPY, text)
        assert await reader.read(TOKEN) is not None

    cluster(test)


def test_a_copy_is_believed_for_ten_minutes(cluster: Any) -> None:
    async def test(all_: Cluster) -> None:
        await written(all_.redis)
        began = asyncio.get_running_loop().time()
        reader = KeyCopies(all_.redis, SECRET)
        real = reader._now
        steps = ((COPY_S - 60, True), (COPY_S + 1, False), (1 - AHEAD_S, True), (-AHEAD_S - 1, False), (-COPY_S, False))
        for later, known in steps:
            reader._now = lambda later=later: real() + later  # type: ignore[misc]
            copy = await reader.read(TOKEN)
            assert (copy is not None) == known, later
            if copy is not None:
                assert max(0, later) <= copy.age <= max(0, later) + asyncio.get_running_loop().time() - began + 1

    cluster(test)


def test_without_redis_nothing_waits_and_changes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_copies, "MOST_WAITING", 5)
    monkeypatch.setattr(key_copies, "AGAIN_S", 0.01)

    async def test() -> None:
        client = Redis("127.0.0.1:9")
        copies = KeyCopies(client, SECRET)
        copies.keep(key_row(), team_row())
        await until(lambda: _done(copies))
        for number in range(20):
            copies.changed("key", f"{number}")
        assert len(copies._waiting) <= 15 and copies._ends_all
        with redis_server() as address:
            copies._redis = Redis(address)
            await until(lambda: _done(copies))
            assert await copies._redis.command("GET", EPOCH) == "1"
            copies._redis.close()
        await copies.close()

    run(test)


def test_any_order_of_reads_and_changes_leaves_no_old_copy(cluster: Any) -> None:
    """Two processes read a row and hear of its changes, each in its own time. After the last notice no copy is old."""

    async def test(all_: Cluster) -> None:
        chance = random.Random(11)
        for _ in range(60):
            processes = [KeyCopies(Redis(all_.address), SECRET) for _ in range(2)]
            row, heard = 0, [0, 0]
            for _ in range(chance.randint(2, 8)):
                who = chance.randrange(2)
                match chance.randrange(3):
                    case 0:
                        row += 1
                    case 1:
                        processes[who].keep(key_row(user_id=str(row)), team_row())
                    case _:
                        heard[who] = row
                        processes[who].changed("key", TOKEN)
                if chance.random() < 0.5:
                    await asyncio.sleep(0)
            for who, copies in enumerate(processes):
                if heard[who] < row:
                    copies.changed("key", TOKEN)
                await until(lambda copies=copies: _done(copies))  # type: ignore[misc]
            copy = await processes[0].read(TOKEN)
            assert copy is None or copy.key["user_id"] == str(row)
            for copies in processes:
                await copies.close()
                copies._redis.close()

    cluster(test)
