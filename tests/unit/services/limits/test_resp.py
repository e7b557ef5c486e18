"""The small client for Redis, against a server that answers as the test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.limits import resp
from tollgate.services.limits.counters import AwayError, FullError
from tollgate.services.limits.resp import Redis, ReplyError, Script, decode, encode

REPLIES = [
    (b":12\r\n", 12),
    (b":-1\r\n", -1),
    (b"+OK\r\n", "OK"),
    (b"$-1\r\n", None),
    (b"$0\r\n\r\n", ""),
    (b"$6\r\na\r\nb\r\n\r\n", "a\r\nb\r\n"),
    (b"*0\r\n", []),
    (b"*3\r\n:1\r\n$1\r\n7\r\n*1\r\n:2\r\n", [1, "7", [2]]),
]


@pytest.mark.parametrize(("data", "value"), REPLIES)
def test_replies_are_read_whole_and_in_pieces(data: bytes, value: Any) -> None:
    assert decode(data + b"more") == (value, len(data))
    for length in range(len(data)):
        with pytest.raises(resp._IncompleteError):
            decode(data[:length])


def test_an_error_is_a_value() -> None:
    reply, _ = decode(b"-OOM no memory\r\n")
    assert isinstance(reply, ReplyError)
    assert str(reply) == "OOM no memory"


@given(st.lists(st.text(), min_size=1))
def test_commands_say_the_length_of_each_word_in_bytes(words: list[str]) -> None:
    raw = [word.encode(errors="replace") for word in words]
    words = [word.decode() for word in raw]
    assert encode(words) == b"*%d\r\n" % len(raw) + b"".join(b"$%d\r\n%s\r\n" % (len(one), one) for one in raw)


class Server:
    """Answers each packet with the next of `answers`: bytes, None for silence, an exception to hang up."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.received: list[bytes] = []
        self.connections = 0
        self.serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                self.received.append(data)
                answer = self.answers.pop(0) if self.answers else b"+OK\r\n"
                if answer is OSError:
                    break
                for piece in answer if isinstance(answer, list) else [answer]:
                    writer.write(piece or b"")
                    await asyncio.sleep(0.001)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


def with_server(server: Server, test: Callable[[Redis], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        client = Redis(f"127.0.0.1:{listening.sockets[0].getsockname()[1]}", **options)
        await test(client)
        client.close()
        listening.close()
        await listening.wait_closed()
        await asyncio.sleep(0.01)  # until a connection that was just made is served
        await asyncio.gather(*server.serving)

    asyncio.run(run())


def test_commands_of_one_turn_leave_together_and_get_their_own_replies() -> None:
    server = Server([b":1\r\n:2\r", b"\n$1\r\n3\r\n"])

    async def test(client: Redis) -> None:
        await client.command("CONNECT")
        server.answers = [[b":1\r\n:2\r", b"\n$1\r\n3\r\n"]]
        assert await asyncio.gather(*(client.command("GET", str(n)) for n in range(3))) == [1, 2, "3"]
        assert len(server.received) == 2
        assert server.connections == 1

    server.answers = []
    with_server(server, test)


def test_the_password_comes_first() -> None:
    server = Server()

    async def test(client: Redis) -> None:
        assert await client.command("PING") == "OK"

    with_server(server, test, password="pässword")
    assert server.received == [encode(("AUTH", "pässword")), encode(("PING",))]


def test_a_wrong_password_is_away() -> None:
    async def test(client: Redis) -> None:
        with pytest.raises(AwayError):
            await client.command("PING")

    with_server(Server(b"-WRONGPASS no\r\n"), test, password="x")


def test_a_connection_that_was_closed_is_made_again_once() -> None:
    server = Server(b"+first\r\n", OSError, b"+second\r\n", OSError, OSError)

    async def test(client: Redis) -> None:
        assert await client.command("A") == "first"
        assert await client.command("B") == "second"
        assert server.connections == 2
        with pytest.raises(AwayError):
            await client.command("C")
        assert await client.command("D") == "OK"

    with_server(server, test)


def test_silence_ends_after_the_timeout_and_nothing_is_sent_again() -> None:
    server = Server(None)

    async def test(client: Redis) -> None:
        waiting = [client.command("A") for _ in range(5)]
        errors = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(error) for error in errors] == ["TimeoutError"] * 5
        assert sum(data.count(b"*1") for data in server.received) == 5
        assert await client.command("B") == "OK"
        assert server.connections == 2

    with_server(server, test, timeout=0.1)


def test_the_timeout_is_each_commands_own() -> None:
    """A reply in time must not be taken for silence because an earlier command set the timer."""
    server = Server()

    async def test(client: Redis) -> None:
        for _ in range(6):
            assert await client.command("A") == "OK"
            await asyncio.sleep(0.03)
        connection: Any = client._connection
        connection.ask(b"*1\r\n")  # set off while a timer runs
        connection._waiting[0] = (connection._waiting[0][0], connection._loop.time() + 9)
        connection._check()
        assert connection.open

    with_server(server, test, timeout=0.1)


def test_nobody_listens() -> None:
    async def run() -> None:
        client = Redis("127.0.0.1:1", timeout=1.0)
        with pytest.raises(AwayError):
            await client.command("A")
        client.close()

    asyncio.run(run())


def test_what_is_not_redis_is_away() -> None:
    async def test(client: Redis) -> None:
        with pytest.raises(AwayError):
            await client.command("A")

    with_server(Server(b":1\r\n:2\r\n", b":x\r\n", b":x\r\n"), lambda client: after_one_too_many(client, test))


async def after_one_too_many(client: Redis, test: Callable[[Redis], Awaitable[None]]) -> None:
    assert await client.command("B") == 1  # and a reply that nobody asked for
    await test(client)


def test_errors_of_redis() -> None:
    async def test(client: Redis) -> None:
        with pytest.raises(FullError):
            await client.command("A")
        with pytest.raises(AwayError, match="LOADING"):
            await client.command("B")

    with_server(Server(b"-OOM command not allowed\r\n", b"-LOADING wait\r\n"), test)


def test_a_script_that_redis_does_not_know_is_sent() -> None:
    server = Server(b"-NOSCRIPT unknown\r\n", b":7\r\n")

    async def test(client: Redis) -> None:
        assert await client.run(Script("return 7"), ["k"], ["a", "b"]) == 7

    with_server(server, test)
    assert server.received[1] == encode(("EVAL", "return 7", "1", "k", "a", "b"))


def test_a_client_that_leaves_disturbs_nobody() -> None:
    server = Server([b":1\r\n:2\r\n"])

    async def test(client: Redis) -> None:
        await client.command("CONNECT")
        server.answers = [[b":1\r\n:2\r\n"]]
        first, second = (asyncio.create_task(client.command(name)) for name in "AB")
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 2

    server.answers = []
    with_server(server, test)


def test_closing_while_it_connects() -> None:
    async def test(client: Redis) -> None:
        waiting = asyncio.create_task(client.command("A"))
        await asyncio.sleep(0)
        client.close()
        outcome = (await asyncio.gather(waiting, return_exceptions=True))[0]
        assert isinstance(outcome, asyncio.CancelledError)

    with_server(Server(), test)
