"""The counters that all processes share, in Redis. Each method is one script and one round trip (script.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tollgate.services.limits import script
from tollgate.services.limits.counters import Answer, Call, Real, Take, Used
from tollgate.services.limits.resp import Redis, Script


class RedisCounters:
    """Raises AwayError where Redis does not answer, FullError where it has no memory left."""

    def __init__(self, redis: Redis, lease: float = script.LEASE_S) -> None:
        self._redis = redis
        self._lease = lease
        texts = (script.ADMIT, script.SETTLE, script.FREE, script.RENEW, script.SEED, script.LOOK)
        self._admit, self._settle, self._free, self._renew, self._seed, self._look = map(Script, texts)

    async def take(self, call: Call) -> Answer:
        return script.answer(await self._redis.run(self._admit, *script.admission(call, self._lease)))

    async def settle(
        self, call: Call, real: Real, late: bool = False, begun: asyncio.Future[Any] | None = None
    ) -> None:
        await self._redis.run(self._settle, *script.settlement(call, real, late), begun)

    def begin_settling(self, call: Call, real: Real) -> asyncio.Future[Any] | None:
        """The reply; None while there is no connection."""
        return self._redis.begin(self._settle, *script.settlement(call, real, False))

    async def free(self, call: Call) -> None:
        if slots := call.slots:
            await self._redis.run(self._free, slots, [call.id])

    async def renew(self, calls: Sequence[Call]) -> None:
        renewals = (self._redis.run(self._renew, *script.renewal(call, self._lease)) for call in calls)
        await asyncio.gather(*renewals)

    async def seed(self, call: Call, spent: Mapping[int, int]) -> None:
        await self._redis.run(self._seed, *script.seeding(call, spent))

    async def look(self, takes: Sequence[Take]) -> list[Used | None]:
        return script.seen(await self._redis.run(self._look, *script.looking(takes)))
