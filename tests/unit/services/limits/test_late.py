"""Calls that end while Redis is away: the ledger may have their cost before Redis hears of them, or after."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.redis_server import PROGRAM, redis_server
from tests.unit.services.limits.calls import TAG, call, take, used
from tests.unit.services.limits.test_shared_counters import until
from tollgate.services.limits import script
from tollgate.services.limits.counters import LET_IN, AwayError, Call, Real, Used
from tollgate.services.limits.figures import Figures
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rule import MONEY
from tollgate.services.limits.shared_counters import SharedCounters

CAP = take(MONEY, 100, 60)
Test = Callable[[Redis, RedisCounters], Awaitable[None]]


def with_redis(address: str, test: Test) -> None:
    async def run() -> None:
        client = Redis(address)
        await client.command("FLUSHALL")
        try:
            await test(client, RedisCounters(client))
        finally:
            client.close()

    asyncio.run(run())


class CutOff(RedisCounters):
    """The way of one process to Redis, which can be cut."""

    away = False

    def begin_settling(self, call: Call, real: Real) -> asyncio.Future[Any] | None:
        return None if self.away else super().begin_settling(call, real)

    async def settle(
        self, call: Call, real: Real, late: bool = False, begun: asyncio.Future[Any] | None = None
    ) -> None:
        if self.away:
            raise AwayError("TimeoutError")
        await super().settle(call, real, late, begun)


async def age(client: Redis, field: str, seconds: int) -> None:
    """As if this moment of the counter was so long ago."""
    now = int((await client.command("TIME"))[0])
    await client.command("HSET", CAP.key, field, str(now - seconds))


@pytest.mark.parametrize("booked_first", [True, False])
def test_a_stream_that_ended_while_redis_was_away_counts_once(address: str, booked_first: bool) -> None:
    async def test(client: Redis, others: RedisCounters) -> None:
        way = CutOff(client)
        process = SharedCounters(way, Figures(), away=0.0, renew_every=0.001)
        await others.seed(call("s", CAP), {0: 10})
        assert await process.take(call("stream", CAP)) == LET_IN
        way.away = True
        await process.settle(call("stream", CAP), used(nano=5))
        if booked_first:
            await others.seed(call("s", CAP), {0: 15})
        way.away = False
        await until(lambda: not process._owed)
        await process.close()
        assert await others.look([CAP]) == [Used(15 if booked_first else 10)]
        assert (await others.take(call("next", CAP))).stale == (0,)
        await others.seed(call("s", CAP), {0: 15})
        assert await others.look([CAP]) == [Used(15, 60)]

    with_redis(address, test)


@pytest.mark.parametrize("order", list(itertools.permutations(("booked", "paid", "compared"))), ids="-".join)
def test_in_any_order_the_counter_ends_where_the_ledger_is(address: str, order: tuple[str, ...]) -> None:
    async def test(client: Redis, counters: RedisCounters) -> None:
        ledger = 10
        await counters.seed(call("s", CAP), {0: ledger})
        await counters.take(call("stream", CAP))
        for step in order:
            if step == "booked":
                ledger = 15
            elif step == "paid":
                await counters.settle(call("stream", CAP), used(nano=5), late=True)
            else:
                await counters.seed(call("s", CAP), {0: ledger})
        if await client.command("HGET", CAP.key, "t"):
            await age(client, "t", script.AGAIN_S + 1)
        if (await counters.take(call("next", CAP))).stale:
            await counters.seed(call("s", CAP), {0: ledger})
        assert await counters.look([CAP]) == [Used(15, 60)]

    with_redis(address, test)


def test_the_ledger_is_asked_until_it_must_have_the_call(address: str) -> None:
    async def test(client: Redis, counters: RedisCounters) -> None:
        free = take(MONEY, 100, 0)
        names = map(str, itertools.count())

        async def stale() -> bool:
            return bool((await counters.take(call(next(names), free))).stale)

        await counters.seed(call("s", CAP), {0: 10})
        await counters.take(call("stream", CAP))
        await counters.settle(call("stream", CAP), used(nano=5), late=True)
        assert [await stale(), await stale()] == [True, False], "one request compares"
        await age(client, "t", script.AGAIN_S + 1)
        assert [await stale(), await stale()] == [True, False], "and one a little later"
        # Long after: the last comparison was late enough, and the next one is the usual.
        await age(client, "l", script.LEDGER_LAG_S + script.AGAIN_S + 2)
        await age(client, "t", script.AGAIN_S + 1)
        assert not await stale()
        # A tenant that was idle since the last early comparison compares with its next request.
        await age(client, "l", 200)
        await age(client, "t", 190)
        assert await stale()

    with_redis(address, test)


def test_a_full_redis_takes_a_late_settlement() -> None:
    if PROGRAM is None:
        pytest.skip("no redis-server here")

    async def test(client: Redis, counters: RedisCounters) -> None:
        await counters.seed(call("s", CAP), {0: 10})
        await counters.take(call("stream", CAP))
        await client.command("CONFIG", "SET", "maxmemory", "1")
        await counters.settle(call("stream", CAP), used(nano=5), late=True)
        await client.command("CONFIG", "SET", "maxmemory", "0")
        assert await client.command("GET", f"{TAG}call:stream") == "done"
        assert (await counters.take(call("next", CAP))).stale == (0,)

    with redis_server("--maxmemory-policy", "noeviction") as address:
        with_redis(address, test)
