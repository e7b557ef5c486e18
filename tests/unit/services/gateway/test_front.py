"""The head of an answer leaves with its first bytes, and never later than the turn in which it was written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.unit.services.gateway.process import run
from tollgate.services.gateway.front import HeadWithBody

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"


class Wire:
    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = self.paused = False

    def write(self, data: bytes) -> None:
        assert not self.closed, "written after the end"
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True


def with_wire(test: Callable[[Wire, HeadWithBody], Awaitable[None]]) -> None:
    async def both() -> None:
        wire = Wire()
        await test(wire, HeadWithBody(wire))  # type: ignore[arg-type]

    run(both)


def test_a_head_leaves_with_the_body() -> None:
    async def test(wire: Wire, front: HeadWithBody) -> None:
        front.write(HEAD)
        front.write(b"hello")
        assert wire.written == [HEAD + b"hello"]
        front.write(b"more")
        await asyncio.sleep(0)
        assert wire.written == [HEAD + b"hello", b"more"]

    with_wire(test)


@pytest.mark.parametrize("written", [HEAD, b"HTTP/1.1 is what this body begins with"])
def test_what_nothing_follows_leaves_in_this_turn(written: bytes) -> None:
    async def test(wire: Wire, front: HeadWithBody) -> None:
        front.write(written)
        assert not wire.written
        await asyncio.sleep(0)
        assert wire.written == [written]
        front.write(HEAD)
        front.write(b"next")
        assert wire.written == [written, HEAD + b"next"]

    with_wire(test)


def test_a_head_leaves_before_the_connection_closes() -> None:
    """uvicorn's own 400 is one write and a close."""

    async def test(wire: Wire, front: HeadWithBody) -> None:
        front.write(HEAD)
        front.close()
        assert wire.written == [HEAD] and wire.closed
        await asyncio.sleep(0)
        assert wire.written == [HEAD]

    with_wire(test)


def test_everything_else_is_the_connections_own() -> None:
    async def test(wire: Wire, front: HeadWithBody) -> None:
        front.pause_reading()
        assert wire.paused

    with_wire(test)
