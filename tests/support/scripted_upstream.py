"""An upstream that answers by script: statuses, headers, slow pieces, silence, resets, cut bodies.

It speaks HTTP/1.1 on loopback by itself, so it can also do what no HTTP library does on purpose.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

# A step of an answer is bytes to send, a pause in seconds, or one of these words.
HANG, RESET, CUT = "hang", "reset", "cut"
Step = bytes | float | str


@dataclass
class Answer:
    """`steps` is the body. HANG waits until the client leaves, RESET and CUT end the connection in the middle."""

    steps: Iterable[Step] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    before: Step = b""  # what happens before the headers


@dataclass
class Asked:
    """One request. `left` is set when the connection ended before the answer did."""

    path: str
    headers: dict[str, str]
    text: bytes
    left: bool = False

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Upstream:
    """`script` has the answers in turn; the last one is repeated."""

    url: str = ""
    script: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    sent: int = 0

    def answers(self, *script: Answer) -> None:
        self.script = list(script)

    async def left(self, number: int = 0, within: float = 5.0) -> bool:
        """Whether the connection of a request ends in the middle of its answer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                while len(self.asked) <= number or not self.asked[number].left:
                    await asyncio.sleep(0.01)
        return len(self.asked) > number and self.asked[number].left

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while asked := await _request(reader):
                self.asked.append(asked)
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                if not await self._answer(answer, asked, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, answer: Answer, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Whether the connection goes on."""
        if answer.before and not await self._step(answer.before, asked, reader, writer, chunked=False):
            return False
        chunked = "content-length" not in answer.headers
        headers = {**answer.headers, **({"transfer-encoding": "chunked"} if chunked else {})}
        lines = [f"HTTP/1.1 {answer.status} Any", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode())
        try:
            for step in answer.steps:
                if not await self._step(step, asked, reader, writer, chunked=chunked):
                    return False
            if chunked:
                writer.write(b"0\r\n\r\n")
            await writer.drain()
        except ConnectionError:
            asked.left = True
            raise
        return True

    async def _step(
        self,
        step: Step,
        asked: Asked,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        chunked: bool,
    ) -> bool:
        if isinstance(step, bytes):
            if step:
                writer.write(b"%x\r\n%s\r\n" % (len(step), step) if chunked else step)
                self.sent += len(step)
            await writer.drain()
        elif isinstance(step, float):
            asked.left = await _leaves(reader, step)
            return not asked.left
        elif step == HANG:
            asked.left = await _leaves(reader, 30.0)
            return False
        else:
            if step == RESET:
                writer.transport.abort()
            return False
        return True


async def _leaves(reader: asyncio.StreamReader, within: float) -> bool:
    """Whether the client closes the connection meanwhile."""
    try:
        async with asyncio.timeout(within):
            return not await reader.read(1)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


async def _request(reader: asyncio.StreamReader) -> Asked | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    text = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(first.split(" ")[1], headers, text)


@asynccontextmanager
async def upstream(*script: Answer) -> AsyncIterator[Upstream]:
    made = Upstream(script=list(script))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=1024 * 1024)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tasks = asyncio.all_tasks()
    try:
        yield made
    finally:
        server.close()
        for task in asyncio.all_tasks() - tasks:
            if getattr(task.get_coro(), "__qualname__", "") == "Upstream.serve":
                task.cancel()


# ---- bodies of the two protocols


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(tokens: int = 11) -> bytes:
    usage = {"input_tokens": tokens, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "upstream", "content": []}
    return event("message_start", message={**message, "stop_reason": None, "usage": usage})


def text(words: str) -> bytes:
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})


def end(tokens: int = 7) -> bytes:
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return event("message_delta", delta=delta, usage={"output_tokens": tokens}) + event("message_stop")


def whole_message(words: str = "hi", read: int = 11, written: int = 7) -> bytes:
    usage = {"input_tokens": read, "output_tokens": written}
    content = [{"type": "text", "text": words}]
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "upstream", "content": content}
    return json.dumps({**message, "stop_reason": "end_turn", "usage": usage}).encode()


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **fields}).encode() + b"\n\n"


def delta(words: str, finish: str | None = None, index: int = 0, **more: Any) -> bytes:
    """`more` is what a server writes into every chunk: OpenAI `usage=None`."""
    given = {"content": words} if words else {}
    return chunk(choices=[{"index": index, "delta": given, "finish_reason": finish}], **more)


def chat_end(read: int = 11, written: int = 7) -> bytes:
    usage = {"prompt_tokens": read, "completion_tokens": written}
    return delta("", "stop") + chunk(choices=[], usage=usage) + b"data: [DONE]\n\n"


def whole_chat(words: str = "hi", read: int = 11, written: int = 7) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
    usage = {"prompt_tokens": read, "completion_tokens": written}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": usage}).encode()


STREAM = Answer([start(), text("hi"), end()], headers={"content-type": "text/event-stream"})
CHAT_STREAM = Answer([delta("hi"), chat_end()], headers={"content-type": "text/event-stream"})
JSON = {"content-type": "application/json"}


def error(status: int, kind: str = "api_error", message: str = "no", **headers: str) -> Answer:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": message}}).encode()
    return Answer([body], status, {**JSON, **headers})
