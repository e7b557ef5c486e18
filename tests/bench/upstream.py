"""The upstream of `make bench-gateway`: a server of both APIs that needs little processor time itself.

A whole answer is fixed. A stream has as many pieces as `max_tokens` asks for; each piece says when it was sent, on the
clock that all containers of a machine share. The model `paced` sends 20 pieces a second, every other model all at once.
Runs in the kit's own image: `python upstream.py PORT`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import httptools
import uvloop

PACE_S = 0.05
TEXT = "An answer of the usual length, so that a whole answer is not smaller than it would be in practice. " * 3
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\n%s\r\n\r\n"


def sent_at() -> str:
    """Read again by `load.SENT_AT`. The number has a fixed length, so a piece is never cut within it by accident."""
    return f"<{time.monotonic_ns():020d}>"


def whole(chat: bool) -> bytes:
    if chat:
        message = {"role": "assistant", "content": TEXT}
        usage = {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80}
        answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage}
        return json.dumps({**answer, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    usage = {"input_tokens": 20, "output_tokens": 60}
    content = [{"type": "text", "text": TEXT}]
    return json.dumps({**answer, "content": content, "stop_reason": "end_turn", "usage": usage}).encode()


def chat_events(pieces: int) -> Iterator[bytes]:
    def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        fields = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        return b"data: %s\n\n" % json.dumps(fields).encode()

    yield chunk({"role": "assistant", "content": ""})
    for _ in range(pieces):
        yield chunk({"content": sent_at()})
    usage = {"prompt_tokens": 20, "completion_tokens": pieces, "total_tokens": 20 + pieces}
    last = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage}
    yield chunk({}, "stop") + b"data: %s\n\ndata: [DONE]\n\n" % json.dumps(last).encode()


def messages_events(pieces: int) -> Iterator[bytes]:
    def event(kind: str, **fields: Any) -> bytes:
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())

    message: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": []}
    usage = {"input_tokens": 20, "output_tokens": 1}
    message = {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}
    start = event("message_start", message=message)
    yield start + event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for _ in range(pieces):
        yield event("content_block_delta", index=0, delta={"type": "text_delta", "text": sent_at()})
    end = {"stop_reason": "end_turn", "stop_sequence": None}
    last = event("message_delta", delta=end, usage={"output_tokens": pieces}) + event("message_stop")
    yield event("content_block_stop", index=0) + last


WHOLE = {chat: whole(chat) for chat in (True, False)}


class Connection(asyncio.Protocol):
    """One connection of a gateway: one request after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser: Any = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.streaming: asyncio.Task[None] | None = None

    def connection_lost(self, _: Exception | None) -> None:
        if self.streaming is not None:
            self.streaming.cancel()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.chat = b"chat" in url

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        asked = json.loads(b"".join(self.body) or b"{}")
        self.body.clear()
        if asked.get("stream"):
            pieces = asked.get("max_tokens") or asked.get("max_completion_tokens") or 1
            self.streaming = asyncio.ensure_future(self._stream(pieces, PACE_S if "paced" in asked["model"] else 0.0))
        else:
            answer = WHOLE[self.chat]
            self.transport.write(_HEAD % (b"application/json", b"content-length: %d" % len(answer)) + answer)

    async def _stream(self, pieces: int, pace: float) -> None:
        self.transport.write(_HEAD % (b"text/event-stream", b"transfer-encoding: chunked"))
        due = time.monotonic()
        for event in (chat_events if self.chat else messages_events)(pieces):
            self.transport.write(b"%x\r\n%s\r\n" % (len(event), event))
            due += pace
            # Also without a pace: each piece is a packet of its own, as a model sends it.
            await asyncio.sleep(max(0.0, due - time.monotonic()) if pace else 0)
        self.transport.write(b"0\r\n\r\n")


async def main(port: int) -> None:
    # Many clients connect at once: with the usual backlog of 100 the engine would drop some.
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "0.0.0.0", port, backlog=4096)  # noqa: S104  in a container
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
