"""Hands a call to LiteLLM: the same request, and its answer piece by piece as it comes."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import aiohttp

from tollgate.services.gateway.counted import Counted
from tollgate.services.gateway.leaving import until_left
from tollgate.services.gateway.record import Record
from tollgate.services.limits.ticket import HEADER, TAKEN_OVER
from tollgate.services.refusals import envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.asgi import Message, Receive, Send

log = logging.getLogger("tollgate.gateway.handover")

# Headers of one connection (RFC 9110, section 7.6.1), and those that the HTTP library sets.
_OF_CONNECTION = frozenset(
    b"connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length host expect".split()
)
# Between gateway processes and replicas only: a client's is not passed on, and a replica's not to the client.
_NOT_PASSED = _OF_CONNECTION | {HEADER, TAKEN_OVER}
CONNECT_S = 5.0
# nginx's status for a client that left.
CLIENT_GONE = 499


class LiteLLM:
    """`base` is where the replicas answer, as http://host:port. nginx shares the calls among them."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=50),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
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
        url = self._base + scope["path"] + (f"?{query}" if query else "")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in _kept(scope["headers"])]
        if counted is not None:
            headers.append((HEADER.decode(), counted.ticket))
        try:
            if not await until_left(receive, self._pass(scope, url, headers, body, send, record, counted)):
                record.status = CLIENT_GONE
                if counted is not None:
                    counted.taken_over()
        finally:
            if counted is not None:
                await counted.given_back()

    async def _pass(
        self,
        scope: Message,
        url: str,
        headers: list[tuple[str, str]],
        body: bytes,
        send: Send,
        record: Record,
        counted: Counted | None,
    ) -> None:
        started = False
        try:
            with record.waiting():
                answer = await self._session.request(
                    scope["method"], url, data=body or None, headers=headers, allow_redirects=False
                )
            async with answer:
                if counted is not None:
                    await counted.answered(taken_over=TAKEN_OVER.decode() in answer.headers)
                kept = list(_kept(answer.raw_headers))
                length = answer.headers.get("content-length")
                kept += [(b"content-length", length.encode())] if length else []
                await send({"type": "http.response.start", "status": answer.status, "headers": kept})
                started = True
                record.status = answer.status
                record.first_byte_now()
                async for piece in answer.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("LiteLLM did not answer: %s", type(error).__name__)
            record.error = type(error).__name__
            if started:
                raise  # the connection ends without an end of the answer, as the client must see
            if counted is not None:
                await counted.given_back()
            record.refused(unavailable(), scope)
            record.sentence = unavailable().message
            for message in envelopes.answer(unavailable(), scope):
                await send(message)


def unavailable() -> Refusal:
    message = "The gateway cannot reach the part of it that serves this request. Try again."
    return Refusal(529, "overloaded_error", "gateway_unavailable", message, retry=True, retry_after=5)


def _kept(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
    return ((name, value) for name, value in headers if name.lower() not in _NOT_PASSED)
