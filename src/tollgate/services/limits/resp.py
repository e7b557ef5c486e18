"""A small client for one Redis: one connection on which all requests of the process are pipelined.

Why not redis.asyncio: it takes a connection from a pool for each command. With 64 clients it spends 200 us of one core
on letting a request in and settling it; this client spends 45 us (two slow cores, redis 8.1 with hiredis 3.5). The
gateway needs nothing else of that package. The replies of our scripts are a few bytes, so a C parser saves nothing.
`python -m tests.bench.limits` measures the limiter with it.

Commands that are sent in one turn of the event loop leave in one packet. If Redis answers nothing for `timeout`
seconds, the connection is closed and every waiting command fails, so that a frozen Redis costs each request this much
at most. A command on a connection that broke is sent once more, on a new one: all our scripts may be run twice. This is
also how an idle connection that Redis closed is found. No command is sent again after a timeout.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence
from typing import Any

from tollgate.services.limits.counters import AwayError, FullError

# A process that is only busy must not conclude that Redis is away.
TIMEOUT_S = 3.0


class ReplyError(Exception):
    """An error that Redis replied."""


class _BrokenError(Exception):
    """The connection ended before the reply came."""


class _IncompleteError(Exception):
    """The rest of the reply has not come yet."""


def encode(words: Sequence[str]) -> bytes:
    text = "".join([f"*{len(words)}\r\n", *[f"${len(word)}\r\n{word}\r\n" for word in words]])
    if text.isascii():
        return text.encode()
    raw = [word.encode() for word in words]
    return b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in raw)


def decode(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One reply of RESP2 that begins at `at`, and where the next one begins."""
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _IncompleteError
    kind, line, after = data[at : at + 1], data[at + 1 : end], end + 2
    if kind == b":":
        return int(line), after
    if kind == b"$":
        return _bulk(data, int(line), after)
    if kind == b"*":
        values = []
        for _ in range(int(line)):
            value, after = decode(data, after)
            values.append(value)
        return values, after
    text = line.decode(errors="replace")
    return (ReplyError(text) if kind == b"-" else text), after


def _bulk(data: bytes, size: int, at: int) -> tuple[str | None, int]:
    if size < 0:
        return None, at
    if len(data) < at + size + 2:
        raise _IncompleteError
    return data[at : at + size].decode(errors="replace"), at + size + 2


class Script:
    """A script that Redis knows by its hash after the first time."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class _Connection(asyncio.Protocol):
    """Replies come in the order of the commands."""

    def __init__(self, timeout: float) -> None:
        self.open = False
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._unsent: list[bytes] = []
        self._received = b""
        self._watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self.open = True

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = self._loop.create_future()
        if not self._unsent:
            self._loop.call_soon(self._send)
        self._unsent.append(command)
        self._waiting.append((reply, self._loop.time() + self._timeout))
        if self._watch is None:
            self._watch = self._loop.call_later(self._timeout, self._check)
        return reply

    def data_received(self, data: bytes) -> None:
        data, at = self._received + data, 0
        try:
            while at < len(data):
                value, at = decode(data, at)
                reply, _ = self._waiting.popleft()
                if not reply.done():
                    reply.set_result(value)
        except _IncompleteError:
            pass
        except (ValueError, IndexError):
            self.fail(_BrokenError("this is not Redis"))
        self._received = data[at:]

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(_BrokenError(type(error).__name__ if error else "closed"))

    def fail(self, error: Exception) -> None:
        """Closes the connection; every command that waits fails with `error`."""
        self.open = False
        self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, deque()
        for reply, _ in waiting:
            if not reply.done():
                reply.set_exception(error)

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self.open:
            self._transport.write(b"".join(unsent))

    def _check(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] - self._loop.time()
        if left <= 0:
            self.fail(TimeoutError())
        else:
            self._watch = self._loop.call_later(left, self._check)


class Redis:
    """`address` is host:port. It connects when it is first used, and again after a failure."""

    def __init__(self, address: str, password: str = "", timeout: float = TIMEOUT_S) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._password = password
        self._timeout = timeout
        self._connection: _Connection | None = None
        self._connecting: asyncio.Task[_Connection] | None = None

    async def command(self, *words: str) -> Any:
        """The reply. Raises AwayError if there is none or it is an error, FullError if Redis has no memory left."""
        return _checked(await self._reply(words))

    def begin(self, script: Script, keys: Sequence[str], words: Sequence[str]) -> asyncio.Future[Any] | None:
        """Asks at once: in the next turn of the event loop the command leaves. None without a connection.

        The reply may be an error. `run` takes it as `begun`, and does about it what it does about its own.
        """
        if self._connection is None or not self._connection.open:
            return None
        return self._connection.ask(encode(("EVALSHA", script.sha, str(len(keys)), *keys, *words)))

    async def run(
        self, script: Script, keys: Sequence[str], words: Sequence[str], begun: asyncio.Future[Any] | None = None
    ) -> Any:
        rest = (str(len(keys)), *keys, *words)
        reply = await self._reply(("EVALSHA", script.sha, *rest), begun)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = await self._reply(("EVAL", script.text, *rest))
        return _checked(reply)

    def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is not None and self._connection.open:
            self._connection.fail(_BrokenError("closed"))

    async def _reply(self, words: Sequence[str], begun: asyncio.Future[Any] | None = None) -> Any:
        command = encode(words)
        try:
            try:
                return await (begun or (await self._connected()).ask(command))
            except _BrokenError:
                return await (await self._connected()).ask(command)
        except (_BrokenError, TimeoutError, OSError) as error:
            raise AwayError(type(error).__name__.strip("_")) from error

    async def _connected(self) -> _Connection:
        if self._connection is not None and self._connection.open:
            return self._connection
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
            self._connecting.add_done_callback(self._connect_ended)
        return await asyncio.shield(self._connecting)

    def _connect_ended(self, task: asyncio.Task[_Connection]) -> None:
        self._connecting = None
        if not task.cancelled() and task.exception() is None:
            self._connection = task.result()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        connect = loop.create_connection(lambda: _Connection(self._timeout), self._host, self._port)
        _, connection = await asyncio.wait_for(connect, self._timeout)
        if self._password:
            try:
                _checked(await connection.ask(encode(("AUTH", self._password))))
            except BaseException:
                connection.fail(_BrokenError("no password"))
                raise
        return connection


def _checked(reply: Any) -> Any:
    if isinstance(reply, ReplyError):
        word = str(reply).partition(" ")[0]
        raise FullError(word) if word == "OOM" else AwayError(word)
    return reply
