"""Clients for the benches: each sends one request after another on a connection of its own, and takes the time.

It speaks plain HTTP/1.1 by itself, because the usual libraries need more processor time than the servers measured here.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

import httptools
import uvloop

READ_BYTES = 256 * 1024
# The moment that the bench's upstream writes into each piece of a stream.
SENT_AT = re.compile(rb"<(\d{20})>")


@dataclass
class Measured:
    """Milliseconds of each request: to its first byte of the body, and to its end. `failed` counts other statuses.

    `gap` is the longest time in ms between two pieces of one stream that was not there when its upstream sent them.
    """

    seconds: float = 0.0
    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    pieces: int = 0
    failed: int = 0
    gap: float = 0.0

    @property
    def requests(self) -> int:
        return len(self.whole)

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds if self.seconds else 0.0

    def median(self, of_first: bool = False) -> float:
        return statistics.median(self.first if of_first else self.whole)

    def late(self) -> float:
        """The time that 99 of 100 requests keep."""
        return sorted(self.whole)[int(len(self.whole) * 0.99)]


class _Answer:
    """One answer. With `gaps` it reads when each piece was sent."""

    def __init__(self, gaps: bool) -> None:
        self.first = 0.0
        self.pieces = 0
        self.done = False
        self.gap = 0.0
        self._gaps = gaps
        self._came = self._sent = 0

    def on_body(self, body: bytes) -> None:
        self.first = self.first or time.perf_counter()
        self.pieces += body.count(b"data:")
        if self._gaps and (found := SENT_AT.findall(body)):
            came = time.monotonic_ns()
            # All pieces of one read came together: the first of them waited longest.
            if self._came:
                self.gap = max(self.gap, ((came - self._came) - (int(found[0]) - self._sent)) / 1e6)
            self._came, self._sent = came, int(found[-1])

    def on_message_complete(self) -> None:
        self.done = True


def request(path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: bench", "content-type: application/json", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def _client(port: int, sent: bytes, until: float, measured: Measured, gaps: bool = False) -> None:
    """At least one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
    try:
        while True:
            began = time.perf_counter()
            writer.write(sent)
            answer = _Answer(gaps)
            parser: Any = httptools.HttpResponseParser(answer)
            while not answer.done:
                data = await reader.read(READ_BYTES)
                if not data:
                    raise ConnectionError("the server closed the connection")
                parser.feed_data(data)
            now = time.perf_counter()
            if parser.get_status_code() == 200:
                measured.whole.append((now - began) * 1000)
                measured.first.append((answer.first - began) * 1000)
                measured.pieces += answer.pieces
                measured.gap = max(measured.gap, answer.gap)
            else:
                measured.failed += 1
            if now >= until:
                return
    finally:
        writer.close()


async def _together(port: int, sent: bytes, clients: int, seconds: float) -> Measured:
    measured, began = Measured(), time.perf_counter()
    await asyncio.gather(*(_client(port, sent, began + seconds, measured) for _ in range(clients)))
    measured.seconds = time.perf_counter() - began
    return measured


async def _one_each(port: int, sent: bytes, clients: int, ramp_s: float) -> Measured:
    measured, began = Measured(), time.perf_counter()

    async def later(number: int) -> None:
        await asyncio.sleep(ramp_s * number / clients)
        try:
            await _client(port, sent, 0.0, measured, gaps=True)
        except OSError:
            measured.failed += 1

    await asyncio.gather(*(later(number) for number in range(clients)))
    measured.seconds = time.perf_counter() - began
    return measured


def _run(work: Coroutine[Any, Any, Measured]) -> Measured:
    return uvloop.run(work)


def load(port: int, sent: bytes, clients: int, seconds: float) -> Measured:
    """`clients` connections to 127.0.0.1:`port` for about `seconds`."""
    return _run(_together(port, sent, clients, seconds))


def streams(port: int, sent: bytes, clients: int, ramp_s: float) -> Measured:
    """One stream for each of `clients`. They begin one after another within `ramp_s` seconds."""
    return _run(_one_each(port, sent, clients, ramp_s))
