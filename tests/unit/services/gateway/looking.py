"""Keys that look callers up in a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool

from tests.support.postgres_server import Server
from tests.unit.services.gateway.process import KEY, MASTER
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.key_copies import KeyCopies
from tollgate.services.gateway.keys import Keys


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Looking:
    keys: Keys
    clock: Clock

    async def caller(self, key: str = KEY) -> Caller:
        found = await self.keys.find(key)
        assert found is not None
        return found

    async def until(self, holds: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(10):
            while not await holds():
                await asyncio.sleep(0.01)

    async def hears(self) -> None:
        async def listens() -> bool:
            return self.keys._listening

        await self.until(listens)


@asynccontextmanager
async def looking(server: Server, listen: bool = True, copies: KeyCopies | None = None) -> AsyncIterator[Looking]:
    clock = Clock()
    check = AsyncConnectionPool.check_connection
    options = {"kwargs": {"autocommit": True}, "check": check, "min_size": 1, "max_size": 2, "open": False}
    async with AsyncConnectionPool(server.address, **options) as pool:
        keys = Keys(pool, server.address, MASTER, clock, copies=copies)
        task = asyncio.create_task(keys.listen())
        made = Looking(keys, clock)
        try:
            if listen:
                await made.hears()
            else:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
