"""The scripts in the kit's own Redis: the same tests that run at a redis-server of the machine, if it has one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.contract.limits.conftest import RedisContainer
from tests.unit.services.hooks import test_admission
from tests.unit.services.hooks.test_admission import both  # noqa: F401  fixture
from tests.unit.services.limits import test_counting, test_scripts
from tollgate.services.limits.redis_counters import RedisCounters
from tollgate.services.limits.resp import Redis

pytestmark = pytest.mark.docker

# Those that fill a Redis start one of their own; test_limits.py fills the container.
_OWN = ("test_a_full_redis_lets_nobody_in_but_settles_and_renews",)
_OWN += ("test_leases_that_ended_are_released_although_redis_is_full",)
for _module in (test_admission, test_counting, test_scripts):
    globals().update({n: test for n, test in vars(_module).items() if n.startswith("test_") and n not in _OWN})


@pytest.fixture
def at_redis(redis: RedisContainer) -> Callable[[Callable[[Redis], Awaitable[None]]], None]:
    """Runs a test with a client of an empty Redis."""

    async def run(test: Callable[[Redis], Awaitable[None]]) -> None:
        client = Redis(redis.address, redis.password)
        await client.command("FLUSHALL")
        try:
            await test(client)
        finally:
            client.close()

    return lambda test: asyncio.run(run(test))


@pytest.fixture(params=["Redis"])
def counting(at_redis: Any) -> Callable[[test_counting.Test], None]:
    async def run(client: Redis, test: test_counting.Test) -> None:
        await test(RedisCounters(client))

    return lambda test: at_redis(lambda client: run(client, test))
