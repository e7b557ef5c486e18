"""ASGI: its types, and helpers for layers around an application: another body, an answer before the body is here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from tollgate.services.refusals import envelopes
from tollgate.services.refusals.refusal import Refusal

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# After a refusal, read and discard the client's data this long. If the connection closed earlier, the client could
# lose the answer.
LINGER_S = 5.0


class Incoming:
    """A request's `receive`. `ended` says whether the whole request has arrived."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message


async def refuse(refusal: Refusal, scope: Message, receive: Incoming, send: Send) -> None:
    """Answer immediately. Then read until the client has sent everything or has had time to read the answer."""
    start, body = envelopes.answer(refusal, scope)
    await send(start)
    await lingering(receive, send)(body)


def lingering(receive: Incoming, send: Send) -> Send:
    """A `send` that keeps the connection open after the answer while the client still sends.

    If the whole request was read, it does not wait, because nginx sends the next request on the same connection.
    """

    async def patient(message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body", False):
            await send(message)
            return
        await send({**message, "more_body": True})
        try:
            async with asyncio.timeout(LINGER_S):
                while not receive.ended:
                    await receive()
        except TimeoutError:
            pass  # the client has had the answer for seconds
        await send({"type": "http.response.body", "body": b""})

    return patient


def nothing(receive: Receive) -> Receive:
    """A `receive` with an empty body, whatever the client sends."""
    return again(b"", receive)


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` with `body` as the only message of the request; after it, the messages of the connection."""
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        while (message := await receive())["type"] == "http.request":
            pass
        return message

    return replay
