"""Looking at counters changes none of them, in Redis and in a process that counts alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import pytest

from tests.support.redis_server import PROGRAM, redis_server
from tests.unit.services.limits.calls import HOLDER, TAG, call, take, used
from tests.unit.services.limits.test_shared_counters import Reachable
from tollgate.services.limits.counters import LET_IN, Counters, Used
from tollgate.services.limits.limiter import Admitted, Limiter
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis
from tollgate.services.limits.rule import MONEY, NANO, PARALLEL, REQUESTS, TOKENS, Rule

TAKES = (take(REQUESTS, 3, name="hour"), take(TOKENS, 100, 60), take(PARALLEL, 2), take(MONEY, 100, 60))
NOW = datetime(2026, 11, 21, 13, 40, tzinfo=UTC)
RULES = [
    Rule(HOLDER, REQUESTS, 60, "hour", tenant=TAG, prefix=f"{TAG}tenant:requests:hour:"),
    Rule(HOLDER, MONEY, 5 * NANO, "day", tenant=TAG, prefix=f"{TAG}tenant:money:day:"),
]


@pytest.fixture(params=["alone", "redis"])
def with_counters(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[Counters], Awaitable[None]]], None]]:
    if request.param == "alone":
        yield lambda test: asyncio.run(test(LocalCounters()))  # type: ignore[arg-type]
        return
    if PROGRAM is None:
        pytest.skip("no redis-server here")
    with redis_server() as address:

        async def run(test: Callable[[Counters], Awaitable[None]]) -> None:
            client = Redis(address)
            await test(RedisCounters(client))
            client.close()

        yield lambda test: asyncio.run(run(test))


def test_counters_show_what_is_used_and_reserved(
    with_counters: Callable[[Callable[[Counters], Awaitable[None]]], None],
) -> None:
    async def test(counters: Counters) -> None:
        assert list(await counters.look(TAKES)) == [Used(0), Used(0), Used(0), None], "nobody has seeded the money"
        await counters.seed(call("s", *TAKES), {3: 10})
        assert await counters.take(call("a", *TAKES)) == LET_IN
        running = [Used(1), Used(60), Used(1), Used(10, 60)]
        for _ in range(5):
            assert list(await counters.look(TAKES)) == running
        await counters.settle(call("a", *TAKES), used(tokens=7, nano=25))
        assert list(await counters.look(TAKES)) == [Used(1), Used(7), Used(0), Used(35)]
        assert await counters.take(call("b", *TAKES)) == LET_IN, "looking took no slot"

    with_counters(test)


def test_the_limiter_looks_at_the_window_that_runs() -> None:
    async def spent(questions: object) -> list[int | None]:
        return [NANO]

    async def test() -> None:
        limiter = Limiter(LocalCounters(), spent)
        assert await limiter.look([], NOW) == []
        assert await limiter.look(RULES, NOW) == [Used(0), None]
        assert isinstance(await limiter.admit(RULES, "id", "sonnet", 5, 100, NOW), Admitted)
        assert await limiter.look(RULES, NOW) == [Used(1), Used(NANO, 100)]
        assert await limiter.look(RULES, NOW.replace(day=22)) == [Used(0), None], "the next day has begun"
        await limiter.close()

    asyncio.run(test())


def test_while_redis_is_away_the_processs_own_counters_show() -> None:
    async def test() -> None:
        shared = Reachable()
        limiter = Limiter(shared, lambda questions: asyncio.sleep(0, [NANO]))
        shared.away = True
        assert isinstance(await limiter.admit(RULES[:1], "id", "sonnet", 5, 0, NOW), Admitted)
        shared.away = False
        assert await limiter.look(RULES[:1], NOW) == [Used(1)], "Redis is not asked again so soon"
        await limiter.close()

    asyncio.run(test())
