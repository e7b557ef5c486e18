"""Hands a call to LiteLLM: the same request, and its answer piece by piece as it comes.

A replica that takes no connection got nothing, and the next one is asked. Once a connection was there, no other replica
gets the call: it may be what killed the first one.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import aiohttp

from tollgate.services.gateway.counted import Counted
from tollgate.services.gateway.leaving import until_left
from tollgate.services.gateway.record import Record
from tollgate.services.gateway.replica_watch import HOST
from tollgate.services.gateway.replicas import Replica, Replicas
from tollgate.services.limits.ticket import HEADER, TAKEN_OVER
from tollgate.services.refusals import envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.asgi import Message, Receive, Send

log = logging.getLogger("tollgate.gateway.handover")

# Headers of one connection (RFC 9110, section 7.6.1), and those that the HTTP library sets.
_OF_CONNECTION = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length host expect".split()
)
# Headers between gateway processes and replicas. A client cannot send them to a replica, and gets none of them.
_NOT_PASSED = _OF_CONNECTION | {HEADER, TAKEN_OVER}
# Our server sends its own.
_NOT_ANSWERED = _NOT_PASSED | {b"date"}
CONNECT_S = 5.0
# A client waits for so many connections that are not accepted in time.
TIMEOUTS = 3
# nginx's status for a client that left.
CLIENT_GONE = 499


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes


class LiteLLM:
    """Each call has a connection of its own, so none is lost on one that its replica has just closed.

    `connect_s` is how long a replica may take to accept it, in seconds.
    """

    def __init__(self, replicas: Replicas, connect_s: float = CONNECT_S) -> None:
        self.replicas = replicas
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
            # LiteLLM adds about forty headers to those of the provider.
            max_headers=256,
            max_field_size=16 * 1024,
            skip_auto_headers=("user-agent", "accept", "accept-encoding", "content-type"),
        )

    async def close(self) -> None:
        await self._session.close()

    async def answer(
        self,
        scope: Message,
        body: bytes,
        receive: Receive,
        send: Send,
        record: Record,
        counted: Counted | None = None,
    ) -> None:
        """Pass the request on. A client that leaves ends LiteLLM's call too.

        `counted` is what the limits have let in already. Without it the replica asks them.
        """
        query = scope.get("query_string", b"").decode("latin-1")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in _kept(scope["headers"])]
        headers.append(("Host", HOST))
        if counted is not None:
            headers.append((HEADER.decode(), counted.ticket))
        request = _Request(scope["method"], scope["path"] + (f"?{query}" if query else ""), headers, body)
        try:
            if not await until_left(receive, self._pass(scope, request, send, record, counted)):
                record.status = CLIENT_GONE
                if counted is not None:
                    counted.taken_over()
        finally:
            if counted is not None:
                await counted.given_back()

    async def _pass(
        self, scope: Message, request: _Request, send: Send, record: Record, counted: Counted | None
    ) -> None:
        timeouts, asked = 0, self.replicas.order()
        while asked and timeouts < TIMEOUTS:
            replica = asked.pop(0)
            with replica.call():
                failed = await self._try(replica, scope, request, send, record, counted)
            if failed is None:
                return
            if isinstance(failed, TimeoutError):
                timeouts += 1
                asked.append(replica)  # perhaps this process itself stood still, on a machine that is too busy
        log.warning("no replica took the call")
        await _refuse(unavailable(), scope, send, record, counted)

    async def _try(
        self, replica: Replica, scope: Message, request: _Request, send: Send, record: Record, counted: Counted | None
    ) -> OSError | None:
        """The reason if the replica took no connection. Otherwise the client has its answer, or knows why not."""
        started, url = False, f"http://{replica.address}{request.path}"
        try:
            with record.waiting():
                answer = await self._session.request(
                    request.method, url, data=request.body or None, headers=request.headers, allow_redirects=False
                )
            async with answer:
                if counted is not None:
                    await counted.answered(taken_over=TAKEN_OVER.decode() in answer.headers)
                kept = list(_kept(answer.raw_headers, _NOT_ANSWERED))
                length = answer.headers.get("content-length")
                kept += [(b"content-length", length.encode())] if length else []
                await send({"type": "http.response.start", "status": answer.status, "headers": kept})
                started = True
                record.status = answer.status
                record.first_byte_now()
                async for piece in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            log.warning("%s took no connection: %s", replica.name, type(error).__name__)
            self.replicas.refused(replica)
            return error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("the call to %s broke off: %s", replica.name, type(error).__name__)
            record.error = type(error).__name__
            if started:
                raise  # the connection ends without an end of the answer, as the client must see
            await _refuse(lost(), scope, send, record, counted)
        return None


async def _refuse(refusal: Refusal, scope: Message, send: Send, record: Record, counted: Counted | None) -> None:
    if counted is not None:
        await counted.given_back()
    record.refused(refusal, scope)
    record.sentence = refusal.message
    for message in envelopes.answer(refusal, scope):
        await send(message)


def unavailable() -> Refusal:
    message = "The gateway cannot reach the part of it that serves this request. Try again."
    return Refusal(529, "overloaded_error", "gateway_unavailable", message, retry=True, retry_after=5)


def lost() -> Refusal:
    message = "The replica that worked on this request stopped before it answered. Try again."
    return Refusal(529, "overloaded_error", "replica_lost", message, retry=True, retry_after=5)


def _kept(
    headers: Iterable[tuple[bytes, bytes]], dropped: Collection[bytes] = _NOT_PASSED
) -> Iterable[tuple[bytes, bytes]]:
    return ((name, value) for name, value in headers if name.lower() not in dropped)
