"""Sends comments to the client of a stream while its upstream is silent: proxies and clients give up such a connection.

If nothing has begun after PING_S, the answer begins with status 200 and a comment. So whatever comes afterwards is part
of that stream: a refusal, ours or LiteLLM's, becomes its last event. Later silences are filled too.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from tollgate.services.gateway.call import Call
from tollgate.services.requests.asgi import Message, Send

# Claude Code gives up after five minutes, many proxies after one.
PING_S = 15.0
# Every reader of events skips a comment. Some refuse an event that comes before `message_start`.
COMMENT = b": ping\n\n"
EVENTS = (b"content-type", b"text/event-stream; charset=utf-8")


def stream_begins(request_id: str, told: Iterable[tuple[bytes, bytes]] = ()) -> Message:
    """`told` are more headers."""
    headers = [EVENTS, (b"request-id", request_id.encode()), (b"cache-control", b"no-cache"), *told]
    return {"type": "http.response.start", "status": 200, "headers": headers}


class Answer:
    """A `send`. `began`: the answer itself has begun, so nobody else can answer any more."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.began = False
        self._pinged = self._anthropic = False
        # The body of a refusal that comes after a ping.
        self._refusal: list[bytes] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            async with self._one_at_a_time:
                self.began = True
                if not self._pinged:
                    await self._send(message)
                elif not _streams(message):
                    self._refusal = []
        elif self._refusal is None:
            await self._send(message)
        else:
            self._refusal.append(message.get("body", b""))
            if not message.get("more_body"):
                await self._send({"type": "http.response.body", "body": self._event(b"".join(self._refusal))})

    @asynccontextmanager
    async def pings(self, call: Call) -> AsyncIterator[None]:
        """While the block runs and no answer has begun, a stream's client gets a comment every PING_S."""
        if not call.streams:
            yield
            return
        silence = Silence(partial(self._ping, call))
        try:
            yield
        finally:
            await silence.end()

    async def _ping(self, call: Call) -> bool:
        """Whether pings go on."""
        async with self._one_at_a_time:
            if self.began:
                return False
            if not self._pinged:
                self._pinged, self._anthropic = True, call.anthropic
                await self._send(stream_begins(call.request_id))
            await self._send({"type": "http.response.body", "body": COMMENT, "more_body": True})
        return True

    def _event(self, text: bytes) -> bytes:
        name = b"event: error\n" if self._anthropic else b""
        return name + b"data: " + text.replace(b"\n", b" ") + b"\n\n"


class Silence:
    """Calls `ping` whenever nothing was `heard` for PING_S, until it answers False or `end` is called.

    One timer for a stream: a timer around the wait for each piece costs 5 µs a piece.
    """

    def __init__(self, ping: Callable[[], Coroutine[Any, Any, bool]]) -> None:
        self._ping = ping
        self._loop = asyncio.get_running_loop()
        self._pinging: asyncio.Task[None] | None = None
        self.hear()
        self._timer = self._loop.call_later(PING_S, self._look)

    def hear(self) -> None:
        self._heard = self._loop.time()

    async def end(self) -> None:
        """After it nothing is sent."""
        self._timer.cancel()
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)

    def _look(self) -> None:
        left = self._heard + PING_S - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._look)
        else:
            self._pinging = self._loop.create_task(self._fill())

    async def _fill(self) -> None:
        if await self._ping():
            self.hear()
            self._timer = self._loop.call_later(PING_S, self._look)


def _streams(message: Message) -> bool:
    kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
    return message["status"] == 200 and kind.startswith(b"text/event-stream")
