"""One answer for everybody who asks at about the same time, so that open pages cannot load what they ask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class Shared(Generic[Answer]):
    """`ask` runs at most once in `fresh_s` seconds. Its failure stands for as long, and everybody gets it."""

    def __init__(
        self,
        ask: Callable[[], Coroutine[Any, Any, Answer]],
        fresh_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._fresh_s, self._clock = ask, fresh_s, clock
        self._asked = 0.0
        self._task: asyncio.Task[Answer] | None = None

    async def __call__(self) -> Answer:
        if self._task is None or (self._task.done() and self._clock() - self._asked >= self._fresh_s):
            self._asked = self._clock()
            self._task = asyncio.create_task(self._ask())
            # Without this, asyncio complains of a failure that nobody has waited for.
            self._task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        return await asyncio.shield(self._task)

    @property
    def asking(self) -> bool:
        return self._task is not None and not self._task.done()

    async def close(self) -> None:
        if self._task is not None and self.asking:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
