"""The parts that only the scripts in Redis have: leases, expiry, a Redis that lost its data or has no memory left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.redis_server import PROGRAM, redis_server
from tests.unit.services.limits.calls import NOTHING, TAG, call, take, used
from tollgate.services.limits import script
from tollgate.services.limits.counters import LET_IN, Answer, AwayError, FullError
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rule import MONEY, PARALLEL, REQUESTS, TOKENS

HOUR, SLOT, TOKEN = take(REQUESTS, 3, name="hour"), take(PARALLEL, 2), take(TOKENS, 100, 60)
CAP = take(MONEY, 100, 60)


@pytest.fixture
def at_redis(address: str) -> Callable[[Callable[[Redis], Awaitable[None]]], None]:
    async def run(test: Callable[[Redis], Awaitable[None]]) -> None:
        client = Redis(address)
        await client.command("FLUSHALL")
        try:
            await test(client)
        finally:
            client.close()

    return lambda test: asyncio.run(run(test))


async def until(what: Callable[[], Awaitable[Any]]) -> Any:
    deadline = time.monotonic() + 20
    while not (value := await what()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    return value


def test_the_slots_and_reservations_of_a_killed_process_return(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        killed, other = RedisCounters(client, lease=0.3), RedisCounters(client)
        await killed.seed(call("s", CAP), {0: 10})
        assert await killed.take(call("a", SLOT, HOUR, CAP)) == LET_IN
        assert await other.take(call("b", SLOT, CAP)) == LET_IN
        assert await other.take(call("c", SLOT)) == Answer(0, 2)
        assert await other.take(call("c", CAP)) == Answer(0, 10, 120)

        async def let_in() -> bool:
            return (await other.take(call("c", SLOT, CAP))).over is None

        assert await until(let_in)
        assert await other.take(call("d", take(MONEY, 1))) == Answer(0, 10, 120), "b and c"
        assert await other.take(call("d", SLOT)) == Answer(0, 2), "the other process lives"

    at_redis(test)


def test_what_ends_after_its_lease_still_counts_once(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        frozen, other = RedisCounters(client, lease=0.0), RedisCounters(client)
        late = call("a", SLOT, HOUR, TOKEN, CAP)
        await frozen.seed(late, {3: 10})
        assert await frozen.take(late) == LET_IN
        assert await other.take(call("b", HOUR)) == LET_IN  # finds the lease of a
        assert await client.command("GET", f"{TAG}call:a") == "lapsed"
        assert await other.take(call("x", take(MONEY, 1))) == Answer(0, 10, 0)
        for _ in range(2):
            await frozen.settle(late, used(tokens=7, nano=5))
        assert await other.take(call("x", take(MONEY, 1))) == Answer(0, 15, 0)
        assert await other.take(call("x", take(TOKENS, 1, 1))) == Answer(0, 7)
        assert await other.take(call("x", take(REQUESTS, 1, name="hour"))) == Answer(0, 2)

    at_redis(test)


def test_twin_a_lease_that_is_renewed_does_not_end(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        short, other = RedisCounters(client, lease=0.0), RedisCounters(client)
        running = call("a", SLOT, CAP)
        await short.seed(running, {1: 10})
        await short.take(running)
        await other.renew([running])
        assert await other.take(call("x", take(PARALLEL, 1))) == Answer(0, 1)
        assert await other.take(call("x", take(MONEY, 1))) == Answer(0, 10, 60)

    at_redis(test)


def test_renewing_what_has_ended_takes_nothing(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        counters = RedisCounters(client)
        await counters.take(call("a", SLOT))
        await counters.settle(call("a", SLOT), used())
        await counters.renew([call("a", SLOT)])
        assert await client.command("ZCARD", SLOT.key) == 0
        assert await client.command("ZCARD", f"{TAG}leases") == 0

    at_redis(test)


def test_everything_expires(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        counters = RedisCounters(client)
        one = call("a", SLOT, HOUR, TOKEN, CAP)
        await counters.seed(one, {3: 0})
        await counters.take(one)
        await counters.take(call("b", HOUR))
        await counters.settle(call("b", HOUR), used())
        keys = await client.command("KEYS", "*")
        assert len(keys) == 7
        left = {key: await client.command("TTL", key) for key in keys}
        assert all(0 < seconds <= 40 * 86400 for seconds in left.values()), left
        assert [left[one.key] for one in (HOUR, TOKEN, CAP)] == pytest.approx([60, 60, 60], abs=5)
        assert all(key.startswith(TAG) for key in keys)

    at_redis(test)


def test_a_refusal_leaves_nothing_behind(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        counters = RedisCounters(client)
        assert (await counters.take(call("a", HOUR, CAP))).unknown == (1,)
        assert (await counters.take(call("a", take(TOKENS, 1, 2)))).over == 0
        assert await client.command("DBSIZE") == 0

    at_redis(test)


def test_after_redis_lost_its_data_spend_is_added_to_the_new_seed(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        counters = RedisCounters(client)
        for name in ("running", "late"):
            await counters.seed(call("s", CAP), {0: 10})
            await counters.take(call(name, CAP, TOKEN, HOUR, SLOT))
        await client.command("FLUSHALL")
        await counters.settle(call("nobody", CAP, TOKEN, HOUR), used(5, 5, False))  # no counter is begun for it
        assert await client.command("EXISTS", CAP.key, TOKEN.key, HOUR.key) == 0
        await counters.take(call("b", TOKEN, HOUR))
        await counters.seed(call("s", CAP), {0: 30})
        await counters.settle(call("running", CAP, TOKEN, HOUR, SLOT), used(9, 5, False))
        # A settlement that waited is in the ledger already, and so in the seed.
        await counters.settle(call("late", CAP, TOKEN, HOUR, SLOT), used(9, 5, False), late=True)
        assert await counters.take(call("x", take(MONEY, 1))) == Answer(0, 35, 0)
        assert await counters.take(call("x", take(TOKENS, 1, 1))) == Answer(0, 69)
        assert await counters.take(call("x", take(REQUESTS, 1, name="hour"))) == Answer(0, 1)

    at_redis(test)


def test_one_caller_is_told_to_compare_money_with_the_ledger(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        counters = RedisCounters(client)
        small = take(MONEY, 10**6, 1)
        await counters.seed(call("s", small), {0: 10})
        assert await counters.take(call("a", small)) == LET_IN
        past = int((await client.command("TIME"))[0]) - script.LEDGER_S - 1
        await client.command("HSET", small.key, "t", str(past))
        answers = [await counters.take(call(name, HOUR, small)) for name in "bc"]
        assert answers == [Answer(stale=(1,)), LET_IN]
        await counters.seed(call("s", small), {0: 25})
        assert await counters.take(call("x", take(MONEY, 1))) == Answer(0, 25, 3)

    at_redis(test)


def test_scripts_that_redis_forgot_are_sent_again(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        counters = RedisCounters(client)
        await counters.take(call("a", HOUR))
        await client.command("SCRIPT", "FLUSH")
        assert await counters.take(call("b", HOUR)) == LET_IN

    at_redis(test)


def test_an_error_of_redis_counts_as_away(at_redis: Any) -> None:
    async def test(client: Redis) -> None:
        await client.command("SET", SLOT.key, "no sorted set")
        with pytest.raises(AwayError):
            await RedisCounters(client).take(call("a", SLOT))

    at_redis(test)


# ---- Redis is full


def test_a_full_redis_lets_nobody_in_but_settles_and_renews() -> None:
    if PROGRAM is None:
        pytest.skip("no redis-server here")

    async def test(address: str) -> None:
        client = Redis(address)
        counters = RedisCounters(client)
        running, other = call("a", SLOT, HOUR, TOKEN, CAP), call("b", SLOT)
        await counters.seed(running, {3: 10})
        assert await counters.take(running) == await counters.take(other) == LET_IN
        await client.command("CONFIG", "SET", "maxmemory", "1")
        for refused in (call("c", HOUR), call("c", CAP)):
            with pytest.raises(FullError):
                await counters.take(refused)
        with pytest.raises(FullError):
            await counters.seed(call("s", take(MONEY, 1, name="new")), {0: 0})
        assert (await counters.take(call("c", SLOT))).over == 0, "a refusal needs no memory"
        await RedisCounters(client, lease=1000.0).renew([other])
        assert float(await client.command("ZSCORE", SLOT.key, "b")) > time.time() + 900
        await counters.settle(running, used(5, 5, False))
        await client.command("CONFIG", "SET", "maxmemory", "0")
        assert await counters.take(call("x", take(MONEY, 1))) == Answer(0, 15, 0)
        assert await counters.take(call("x", take(TOKENS, 1, 1))) == Answer(0, 5)
        assert (await counters.take(call("c", take(REQUESTS, 1, name="hour")))).over is None
        await counters.settle(call("c"), NOTHING)
        client.close()

    with redis_server("--maxmemory-policy", "noeviction") as address:
        asyncio.run(test(address))


def test_leases_that_ended_are_released_although_redis_is_full() -> None:
    if PROGRAM is None:
        pytest.skip("no redis-server here")

    async def test(address: str) -> None:
        client = Redis(address)
        counters = RedisCounters(client, lease=0.0)
        await counters.seed(call("s", CAP), {0: 10})
        await counters.take(call("dead", CAP))
        await client.command("CONFIG", "SET", "maxmemory", "1")
        assert await counters.take(call("x", take(MONEY, 1))) == Answer(0, 10, 0)
        client.close()

    with redis_server("--maxmemory-policy", "noeviction") as address:
        asyncio.run(test(address))
