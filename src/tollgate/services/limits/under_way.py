"""Settlements that were sent, and whose replies no client waits for.

Through another process, the client's next request may reach a busy Redis before its settlement is counted. That is why
the limiter asks twice before it refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

Reply = asyncio.Future[Any]


class UnderWay:
    def __init__(self) -> None:
        self._all: set[asyncio.Future[Any]] = set()

    def add(self, reply: Reply, failed: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """`failed` runs as a task if the reply is an error, or if there is none."""
        self._all.add(reply)
        reply.add_done_callback(partial(self._replied, failed))

    async def end(self) -> None:
        """Waits for all of them. Each ends, because the client of Redis bounds its wait."""
        while self._all:
            await asyncio.wait(self._all)

    def _replied(self, failed: Callable[[], Coroutine[Any, Any, None]], reply: Reply) -> None:
        self._all.discard(reply)
        if reply.exception() is None and not isinstance(reply.result(), Exception):
            return
        task = asyncio.create_task(failed())
        self._all.add(task)
        task.add_done_callback(self._all.discard)
