"""The connections to upstreams: one pool for a process, kept alive, without redirects and cookies."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiohttp

from tollgate.services.gateway.upstream.call import NoAnswerError

CONNECT_S = 5.0
# Before the second try. On a busy machine a name or a connection may fail for a moment.
PAUSE_S = 0.2
# Shorter than an upstream's usual keep-alive, so that we do not use a connection that it is about to close.
IDLE_S = 20.0
READ_BYTES = 256 * 1024
# Bounds for reading the body of an error, in bytes and seconds. Its status is known before.
ERROR_BYTES = 256 * 1024
ERROR_S = 10.0
# How long a complete stream may take to end.
LAST_S = 0.5


class Upstreams:
    """`proxy` is an address for HTTPS upstreams; `authorities` are certificates beside those of the image."""

    def __init__(self, proxy: str | None = None, authorities: ssl.SSLContext | None = None) -> None:
        self._proxy = proxy
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=IDLE_S,
            ttl_dns_cache=10,
            ssl=authorities if authorities is not None else True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=READ_BYTES,
            skip_auto_headers=("user-agent",),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self._session.close()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], silence_s: float, retries: int = 1
    ) -> aiohttp.ClientResponse:
        """The answer once its headers are here. `silence_s` bounds the wait for them and every later silence.

        Raises NoAnswerError. A call that did not reach the upstream is tried again up to `retries` times.
        """
        for attempt in range(retries + 1):
            try:
                return await self._post(url, body, headers, silence_s)
            except NoAnswerError as error:
                if error.sent or attempt == retries:
                    raise
            await asyncio.sleep(PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")  # pragma: no cover

    async def _post(
        self, url: str, body: bytes, headers: Mapping[str, str], silence_s: float
    ) -> aiohttp.ClientResponse:
        patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=silence_s)
        proxy = self._proxy if url.startswith("https:") else None
        try:
            answer = await self._session.post(
                url, data=body, headers=headers, timeout=patience, allow_redirects=False, proxy=proxy
            )
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise NoAnswerError("connect", sent=False) from error
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise NoAnswerError("timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswerError("broken") from error
        if 300 <= answer.status < 400:
            answer.close()
            raise NoAnswerError("redirect")
        return answer


async def whole(answer: aiohttp.ClientResponse, most: int) -> bytes:
    """The rest of the answer. Raises NoAnswerError if it breaks off, falls silent or is larger than `most` bytes."""
    pieces: list[bytes] = []
    size = 0
    async for piece in pieces_of(answer):
        pieces.append(piece)
        size += len(piece)
        if size > most:
            raise NoAnswerError("too_large")
    return b"".join(pieces)


async def beginning(answer: aiohttp.ClientResponse) -> bytes:
    """The part of an error's body that came within its bounds. It never fails: the status alone says enough."""
    text = b""
    with suppress(NoAnswerError, TimeoutError):
        async with asyncio.timeout(ERROR_S):
            async for piece in pieces_of(answer):
                text += piece
                if len(text) > ERROR_BYTES:
                    break
    return text


async def pieces_of(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body as it comes. Raises NoAnswerError."""
    try:
        async for data in answer.content.iter_any():
            yield data
    except TimeoutError as error:
        raise NoAnswerError("timeout") from error
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswerError("broken") from error


async def let_go(answer: aiohttp.ClientResponse) -> None:
    """Give the connection back after a complete answer. The end of a stream may follow its last event by a moment."""
    with suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(LAST_S):
            while not answer.content.at_eof():
                await answer.content.readany()
    answer.release() if answer.content.at_eof() else answer.close()
