"""Which replica gets a call that is handed over, and that no call gets to two of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.unit.services.gateway.process import run
from tollgate.services.gateway import handover
from tollgate.services.gateway.handover import LiteLLM
from tollgate.services.gateway.record import Record
from tollgate.services.gateway.replicas import Replicas
from tollgate.services.refusals.refusal import Refusal

BODY = b'{"model": "m"}'
CLOSED = "127.0.0.1:9"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ndate: then\r\nx-one: 1\r\n\r\nok"


@dataclass
class Server:
    """A replica. `then` says what it does with a request that it has read."""

    then: Callable[[asyncio.StreamWriter], Awaitable[None]]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    address: str = ""
    tasks: list[Any] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                self.requests.append(head + await reader.readexactly(len(BODY)))
                await self.then(writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def answers(writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER)
    await writer.drain()


async def answers_and_closes(writer: asyncio.StreamWriter) -> None:
    """Without a word about it before, as a replica does that is killed between two calls."""
    await answers(writer)
    writer.close()


async def dies(writer: asyncio.StreamWriter) -> None:
    writer.close()


async def breaks_off(writer: asyncio.StreamWriter) -> None:
    writer.write(ANSWER.replace(b": 2", b": 20"))
    await writer.drain()
    writer.close()


@asynccontextmanager
async def serving(*servers: Server) -> AsyncIterator[None]:
    listening = []
    for server in servers:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.address = "{}:{}".format(*listener.sockets[0].getsockname())
        listening.append(listener)
    try:
        yield
    finally:
        for listener in listening:
            listener.close()
        for server in servers:
            await asyncio.wait_for(asyncio.gather(*server.tasks), 10)


@dataclass
class Told:
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""


async def ask(litellm: LiteLLM, path: str = "/v1/messages", record: Record | None = None) -> Told:
    told = Told()

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        told.status = message.get("status", told.status)
        told.headers |= dict(message.get("headers", ()))
        told.body += message.get("body", b"")

    headers = [(b"host", b"evil"), (b"x-api-key", b"sk-1"), (b"connection", b"keep-alive")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"a=b", "headers": headers}
    await litellm.answer(scope, BODY, receive, send, record or Record())
    return told


@asynccontextmanager
async def before(*addresses: str) -> AsyncIterator[LiteLLM]:
    """The replicas are asked in this order."""
    replicas = Replicas.at({f"litellm-{number}": address for number, address in enumerate(addresses, 1)})
    replicas._chance.shuffle = lambda _: None  # type: ignore[method-assign, assignment, misc]
    litellm = LiteLLM(replicas)
    try:
        yield litellm
    finally:
        await litellm.close()


def test_a_refused_connection_goes_on_to_the_next_replica() -> None:
    async def test() -> None:
        server = Server(answers)
        async with serving(server), before(CLOSED, CLOSED, server.address) as litellm:
            told = await ask(litellm)
            assert (told.status, told.body, told.headers) == (200, b"ok", {b"x-one": b"1", b"content-length": b"2"})
            (request,) = server.requests
            assert request.startswith(b"POST /v1/messages?a=b HTTP/1.1\r\n")
            assert request.endswith(BODY)
            assert litellm.replicas.order()[0].name == "litellm-3", "the others rest"
            assert [replica.running for replica in litellm.replicas.listed] == [0, 0, 0]

    run(test)


@pytest.mark.parametrize(("path", "status"), [("/v1/messages", 529), ("/v1/chat/completions", 503)])
def test_a_replica_that_took_the_call_and_dies_is_not_replaced(path: str, status: int) -> None:
    """The call may be what killed it. The client is told to ask again."""

    async def test() -> None:
        first, second = Server(dies), Server(answers)
        async with serving(first, second), before(first.address, second.address) as litellm:
            record = Record()
            told = await ask(litellm, path, record)
            assert (told.status, told.headers[b"x-should-retry"], told.headers[b"retry-after"]) == (
                status,
                b"true",
                b"5",
            )
            assert b"stopped before it answered" in told.body
            assert (record.code, record.status) == ("replica_lost", status)
            assert (len(first.requests), len(second.requests)) == (1, 0)

    run(test)


def test_twin_a_call_that_went_on_would_run_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """If every failure counted as a connection that was refused."""
    monkeypatch.setattr(handover.aiohttp, "ClientConnectorError", handover.aiohttp.ClientError)

    async def test() -> None:
        first, second = Server(dies), Server(answers)
        async with serving(first, second), before(first.address, second.address) as litellm:
            assert (await ask(litellm)).status == 200
            assert (len(first.requests), len(second.requests)) == (1, 1)

    run(test)


def test_an_answer_that_breaks_off_ends_the_clients_connection() -> None:
    async def test() -> None:
        first, second = Server(breaks_off), Server(answers)
        async with serving(first, second), before(first.address, second.address) as litellm:
            with pytest.raises(handover.aiohttp.ClientPayloadError):
                await ask(litellm)
            assert second.requests == []

    run(test)


@pytest.mark.parametrize("addresses", [(), (CLOSED, CLOSED)], ids=["none", "all refuse"])
def test_without_a_replica_the_client_is_told_to_try_again(addresses: tuple[str, ...]) -> None:
    async def test() -> None:
        async with before(*addresses) as litellm:
            record = Record()
            told = await ask(litellm, record=record)
            assert (told.status, told.headers[b"x-should-retry"], record.code) == (529, b"true", "gateway_unavailable")

    run(test)


async def timing_out(litellm: LiteLLM, monkeypatch: pytest.MonkeyPatch, times: int) -> list[str]:
    """The first `times` connections are not accepted in time. Returns the addresses that are asked."""
    asked: list[str] = []
    request = litellm._session.request

    async def slow(method: str, url: str, **more: Any) -> Any:
        asked.append(url.split("/")[2])
        if len(asked) <= times:
            raise handover.aiohttp.ConnectionTimeoutError
        return await request(method, url, **more)

    monkeypatch.setattr(litellm._session, "request", slow)
    return asked


def test_after_three_timeouts_the_client_is_told_to_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With many replicas that are not there, it does not wait for one timeout each."""

    async def test() -> None:
        async with before("10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1") as litellm:
            asked = await timing_out(litellm, monkeypatch, handover.TIMEOUTS)
            assert (await ask(litellm)).status == 529
            assert asked == ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1"]

    run(test)


def test_twin_a_single_replica_is_asked_again_after_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timer of a process that stood still ends too, although the replica took the connection long ago."""

    async def test() -> None:
        server = Server(answers)
        async with serving(server), before(server.address) as litellm:
            asked = await timing_out(litellm, monkeypatch, handover.TIMEOUTS - 1)
            assert (await ask(litellm)).status == 200
            assert len(asked) == handover.TIMEOUTS
            assert len(server.requests) == 1

    run(test)


def test_a_replica_gets_our_host_and_a_connection_for_each_call() -> None:
    async def test() -> None:
        server = Server(answers)
        async with serving(server), before(server.address) as litellm:
            for _ in range(3):
                await ask(litellm)
            heads = [request.lower() for request in server.requests]
            assert all(b"\r\nhost: litellm\r\n" in head for head in heads)
            assert all(head.count(b"\r\nhost:") == 1 and b"\r\nconnection: close\r\n" in head for head in heads)
            assert server.connections == 3

    run(test)


async def many(litellm: LiteLLM, count: int) -> list[int]:
    return [(await ask(litellm)).status for _ in range(count)]


def test_no_call_is_lost_on_a_connection_that_its_replica_closes() -> None:
    async def test() -> None:
        server = Server(answers_and_closes)
        async with serving(server), before(server.address) as litellm:
            assert await many(litellm, 30) == [200] * 30

    run(test)


def test_twin_on_kept_connections_some_are() -> None:
    """The reason for the rule: the answer ends, the call comes back, and the close is not noticed yet."""

    async def test() -> None:
        server = Server(answers_and_closes)
        async with serving(server), before(server.address) as litellm:
            assert litellm._session.connector is not None
            litellm._session.connector._force_close = False
            assert 529 in await many(litellm, 30)

    run(test)


def test_the_busiest_replica_is_asked_last() -> None:
    async def test() -> None:
        release = asyncio.Event()

        async def holds(writer: asyncio.StreamWriter) -> None:
            await release.wait()
            await answers(writer)

        first, second = Server(holds), Server(holds)
        async with serving(first, second), before(first.address, second.address) as litellm:
            calls = [asyncio.create_task(ask(litellm)) for _ in range(4)]
            async with asyncio.timeout(10):
                while len(first.requests) + len(second.requests) < 4:
                    await asyncio.sleep(0.01)
            assert (len(first.requests), len(second.requests)) == (2, 2)
            assert litellm.replicas.state() == {
                "litellm-1": {"takes": True, "running": 2},
                "litellm-2": {"takes": True, "running": 2},
            }
            release.set()
            assert {(await call).status for call in calls} == {200}

    run(test)


def test_the_words_of_a_refusal_name_no_address() -> None:
    for refusal in (handover.unavailable(), handover.lost()):
        assert isinstance(refusal, Refusal)
        assert refusal.retry and refusal.retry_after == 5
        assert "http" not in refusal.message
