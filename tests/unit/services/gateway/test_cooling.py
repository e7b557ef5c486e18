"""Gateway processes tell each other which targets rest, through a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.redis_server import PROGRAM, redis_server
from tests.support.scripted_upstream import JSON, Answer, error, upstream, whole_message
from tests.unit.services.gateway.process import catalogue, messages, model, process, run
from tests.unit.services.gateway.test_targets import Clock, target
from tollgate.services.gateway.cooling import HASH, SharedCooldowns
from tollgate.services.gateway.targets import Cooldowns, in_turn
from tollgate.services.limits.clock import AHEAD_S
from tollgate.services.limits.resp import Redis

BAD, GOOD = target("bad"), target("good", order=2)
COOLDOWN_S = 5.0


@dataclass
class Member:
    """One gateway process. Its clock began at another time than those of the others."""

    redis: Redis
    began: float
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.clock.now = self.began
        self.cooldowns = Cooldowns(0, COOLDOWN_S, self.clock)
        unix = lambda: 1_800_000_000 + self.clock.now - self.began  # noqa: E731
        self.shared = SharedCooldowns(self.redis, self.cooldowns, ["bad", "good"], unix)

    @property
    def asks(self) -> list[str]:
        return [one.id for one in in_turn([BAD, GOOD], self.cooldowns, random.Random(1))]


@asynccontextmanager
async def two(address: str) -> AsyncIterator[tuple[Member, Member]]:
    clients = [Redis(address), Redis(address)]
    if not address.endswith(":9"):
        await clients[0].command("FLUSHALL")
    try:
        yield Member(clients[0], 100.0), Member(clients[1], 7000.0)
    finally:
        for client in clients:
            client.close()


def test_a_rest_of_one_process_is_known_to_the_other_and_ends_there_too(redis: str) -> None:
    async def test() -> None:
        async with two(redis) as (first, second):
            first.cooldowns.failed(BAD)
            assert second.asks == ["bad", "good"], "nobody has told it yet"
            assert await first.shared.exchange() and await second.shared.exchange()
            assert (first.asks, second.asks) == (["good"], ["good"])
            second.clock.now += COOLDOWN_S - 1
            assert second.asks == ["good"]
            second.clock.now += 2
            assert await second.shared.exchange(), "the hash may still have the rest that is over"
            assert second.asks == ["bad", "good"]

    run(test)


def test_twin_a_failure_that_begins_no_rest_is_told_to_nobody(redis: str) -> None:
    async def test() -> None:
        async with two(redis) as (first, second):
            first.cooldowns._allowed = 1
            first.cooldowns.failed(BAD)
            assert await first.shared.exchange() and await second.shared.exchange()
            assert second.asks == ["bad", "good"]
            assert await second.redis.command("EXISTS", HASH) == 0

    run(test)


def test_redis_has_one_hash_with_targets_of_the_catalogue_and_forgets_it(redis: str) -> None:
    async def test() -> None:
        async with two(redis) as (first, _):
            first.cooldowns.failed(BAD)
            await first.shared.exchange()
            assert await first.redis.command("KEYS", "*") == [HASH]
            assert await first.redis.command("HKEYS", HASH) == ["bad"]
            assert 0 < await first.redis.command("PTTL", HASH) <= COOLDOWN_S * 1000
            ttl = await first.redis.command("PEXPIRE", HASH, "900")
            await first.shared.exchange()
            assert ttl == 1 and await first.redis.command("PTTL", HASH) <= 900, "reading keeps nothing alive"

    run(test)


@pytest.mark.parametrize(
    "fields",
    [
        ("nobody", "1800000003000"),
        ("bad", "x"),
        ("bad", ""),
        ("bad", "-1"),
        ("bad", "9" * 30),
        ("bad", "1700000000000"),
    ],
)
def test_what_redis_says_is_data(redis: str, fields: tuple[str, str]) -> None:
    async def test() -> None:
        async with two(redis) as (first, _):
            await first.redis.command("HSET", HASH, *fields)
            assert await first.shared.exchange()
            assert first.asks == ["bad", "good"]
            assert first.cooldowns._until.keys() <= {"bad"}

    run(test)


@pytest.mark.parametrize(("ahead", "believed"), [(AHEAD_S - 1, True), (AHEAD_S + 1, False)])
def test_a_clock_that_is_ahead_makes_no_rest_longer(redis: str, ahead: float, believed: bool) -> None:
    """Somebody set the clock of the host back by a little. A larger step is not believed."""

    async def test() -> None:
        async with two(redis) as (first, second):
            second.clock.now += ahead
            second.cooldowns.failed(BAD)
            await second.shared.exchange()
            await first.shared.exchange()
            assert (first.asks == ["good"]) is believed
            first.clock.now += COOLDOWN_S
            assert first.asks == ["bad", "good"]

    run(test)


def test_without_redis_each_process_is_alone_and_tells_later() -> None:
    async def test() -> None:
        async with two("127.0.0.1:9") as (first, second):
            first.cooldowns.failed(BAD)
            assert not await first.shared.exchange() and not await second.shared.exchange()
            assert (first.asks, second.asks) == (["good"], ["bad", "good"])
            with redis_server() as address:
                first.shared._redis, second.shared._redis = Redis(address), Redis(address)
                assert await first.shared.exchange() and await second.shared.exchange()
                assert second.asks == ["good"]
                first.shared._redis.close()
                second.shared._redis.close()

    if PROGRAM is None:
        pytest.skip("this machine has no Redis")
    run(test)


def test_another_process_asks_a_resting_target_no_more(tmp_path: Path, redis: str) -> None:
    async def test() -> None:
        whole = Answer([whole_message()], headers=JSON)
        async with upstream(error(529, "overloaded_error", "busy")) as one, upstream(whole) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)), allowed_fails=0, cooldown_s=60.0)
            client = Redis(redis)
            await client.command("FLUSHALL")
            async with process(tmp_path / "1", served) as first, process(tmp_path / "2", served) as second:
                cooldowns = [gateway.direct.asking.cooldowns for gateway in (first, second)]
                shared = [SharedCooldowns(client, each, ["one", "two"]) for each in cooldowns]
                tasks = [asyncio.create_task(each.run()) for each in shared]
                assert (await first.ask()).status == 200
                async with asyncio.timeout(10):
                    while not cooldowns[1].rests(served.models["sonnet"].targets[0]):
                        await asyncio.sleep(0.01)
                assert (await second.ask()).status == 200
                assert (len(one.asked), len(two.asked)) == (1, 2)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            client.close()

    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    run(test)


def test_where_nothing_rests_nobody_asks_redis(redis: str) -> None:
    async def test() -> None:
        client = Redis(redis)
        await SharedCooldowns(client, Cooldowns(0, 0), ["bad"]).run()
        assert client._connection is None

    run(test)
