"""Sends an answer as the dials say: late, slowly, with pauses, cut off or not at all.

A delivery is an ASGI response. While it sends and waits, it watches for a disconnect of the client. Then it stops and
records the time. Each request has one task and one watcher, and no threads.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tollgate.services.provider import logs
from tollgate.services.provider.dials import Dials
from tollgate.services.provider.recorder import Entry
from tollgate.services.provider.sse import Frame

# After this number of frames without a pause, other requests get their turn.
FRAMES_A_TURN = 64


class ClientGoneError(Exception):
    """The client closed the connection before the answer was complete."""


class Line:
    """The connection while one answer is sent over it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, entry: Entry) -> None:
        self._reset: Callable[[], Awaitable[None]] = scope["state"]["reset"]  # server.py puts it there
        self._receive = receive
        self._send = send
        self._gone = asyncio.Event()
        self.entry = entry

    async def watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone.set()

    async def pause(self, seconds: float) -> None:
        if seconds <= 0 and not self._gone.is_set():
            return
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            return
        raise ClientGoneError

    async def silence(self) -> None:
        await self._gone.wait()
        raise ClientGoneError

    async def reset(self, ended: str = "dropped") -> None:
        """Break the connection like a failing host: a TCP reset, without an end of the body."""
        self.entry.ended = ended
        await self._reset()

    async def start(self, status: int, headers: dict[str, str]) -> None:
        self.entry.status = status
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def send(self, data: bytes, *, more: bool) -> None:
        if self._gone.is_set():
            raise ClientGoneError
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
        if not more:
            self.entry.ended = "complete"


class Delivery(Response, ABC):
    """`reply_headers` are added to the content type. Subclasses send one kind of answer over a Line."""

    def __init__(self, entry: Entry, dials: Dials, reply_headers: dict[str, str]) -> None:
        self.entry = entry
        self.dials = dials
        self.reply_headers = reply_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = Line(scope, receive, send, self.entry)
        watcher = asyncio.create_task(line.watch())
        started = time.monotonic()
        try:
            await line.pause(self.dials.latency)
            if self.dials.hang == 0:
                await line.silence()
            if self.dials.drop == 0:
                await line.reset()
            else:
                await self.play(line)
        except ClientGoneError:
            self.entry.client_left()
        except asyncio.CancelledError:
            # Only a stopping server cancels. The reset tells the client; an error here would log a traceback.
            await line.reset("stopped")
        finally:
            watcher.cancel()
            logs.answered(self.entry, time.monotonic() - started)

    @abstractmethod
    async def play(self, line: Line) -> None: ...


class Whole(Delivery):
    """A JSON answer in one piece, after the time that a stream of its tokens would take."""

    def __init__(
        self, entry: Entry, dials: Dials, headers: dict[str, str], body: bytes, *, status: int = 200, tokens: int = 0
    ) -> None:
        super().__init__(entry, dials, headers)
        self.answer = body
        self.answer_status = status
        self.tokens = tokens

    async def play(self, line: Line) -> None:
        if self.dials.tps:
            await line.pause(self.tokens / self.dials.tps)
        if self.dials.gap:
            await line.pause(self.dials.gap.seconds)
        if self.dials.hang is not None:
            await line.silence()
        if self.dials.drop is not None:
            await line.reset()
            return
        length = {"content-type": "application/json", "content-length": str(len(self.answer))}
        await line.start(self.answer_status, {**length, **self.reply_headers})
        await line.send(self.answer, more=False)
        self.entry.tokens_sent = self.tokens


class Stream(Delivery):
    """Server-sent events. If a dial such as drop=after:N is beyond the answer's `tokens`, it acts at the last token."""

    def __init__(
        self,
        entry: Entry,
        dials: Dials,
        headers: dict[str, str],
        frames: Iterator[Frame],
        *,
        tokens: int,
        error: Frame | None,
    ) -> None:
        super().__init__(entry, dials, headers)
        self.frames = frames
        self.tokens = tokens
        self.error = error

    async def play(self, line: Line) -> None:
        await line.start(
            200, {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", **self.reply_headers}
        )
        due = time.monotonic()
        gap = self.dials.gap
        for number, frame in enumerate(self.frames):
            if gap and self._content_is_due(frame) and self._reached(gap.after):
                await line.pause(gap.seconds)
                due, gap = time.monotonic(), None
            if self.dials.tps and frame.tokens:
                due += frame.tokens / self.dials.tps
                await line.pause(due - time.monotonic())
            elif number % FRAMES_A_TURN == FRAMES_A_TURN - 1:
                await asyncio.sleep(0)
            # After the pause, so the client has read what was sent; an immediate reset could prevent that.
            if self._content_is_due(frame) and await self._ended_early(line):
                return
            await line.send(frame.data, more=True)
            self.entry.tokens_sent += frame.tokens
        await line.send(b"", more=False)

    def _content_is_due(self, frame: Frame) -> bool:
        """Whether a fault can act now: before a token, or after the last one. So after:0 sends the opening events."""
        return bool(frame.tokens) or self.entry.tokens_sent >= self.tokens

    def _reached(self, place: int) -> bool:
        return self.entry.tokens_sent >= min(place, self.tokens)

    async def _ended_early(self, line: Line) -> bool:
        if self.dials.hang is not None and self._reached(self.dials.hang):
            await line.silence()
        if self.dials.drop is not None and self._reached(self.dials.drop):
            await line.reset()
            return True
        if self.dials.error and self.error and self._reached(self.dials.error.after):
            await line.send(self.error.data, more=True)
            await line.send(b"", more=False)
            return True
        return False
