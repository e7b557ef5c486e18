"""An answer in the protocol that the client speaks: it passes as it comes. We read only what the ledger needs.

Both classes have the interface of convert.stream.ChatStream: feed, end, failed, started, over, counted, characters.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from tollgate.services.gateway import bounded
from tollgate.services.gateway.convert import parts
from tollgate.services.gateway.convert.lines import LINE_BYTES, Events, Lines
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError
from tollgate.services.gateway.ledger.usage import CHARACTERS_A_TOKEN, AnthropicStream, OpenAIStream

# The shortest frame around one piece of text in a Messages stream, and around one in the delta of a chat stream. Only
# estimates use it. A piece has at least one token.
_MESSAGES_FRAME, _CHAT_FRAME = 85, 22
_DATA = b"data:"
# Almost every event of a stream, as Anthropic writes it and as json.dumps does.
_DELTA = (b'data: {"type":"content_block_delta"', b'data: {"type": "content_block_delta"')
_TYPE_FIRST = re.compile(rb'data:\s*\{\s*"type"\s*:\s*"(\w{1,40})"')
# OpenAI writes `"usage":null` into every chunk, and the figures into the last one.
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
# No text has these bytes, because JSON escapes its quotation marks.
_CHAT_DELTA, _FINISH = b'"delta":', b'"finish_reason":'


class PassedMessages:
    """A Messages stream of a Messages upstream. `error` is the upstream's first error event, parsed.

    It passes whole events only. So a ping of ours, or the error after a cut, never lands in the middle of one.
    """

    def __init__(self) -> None:
        self.failed: str | None = None
        self.started = self.over = False
        self.error: Any = None
        self.stop_reason: str | None = None
        self.characters = 0
        # The name of each tool that the provider has called.
        self.tools: list[str] = []
        self.figures = AnthropicStream()
        self._events = Events(LINE_BYTES)

    @property
    def counted(self) -> Any:
        """The upstream's figures so far, for the ledger."""
        return self.figures.figures

    def feed(self, data: bytes) -> bytes:
        whole = self._events.of(data)
        if self._events.too_long:
            self.failed = "line_too_long"
        self._read(whole)
        return whole

    def end(self) -> bytes:
        """The last event may lack its blank line."""
        rest = self._events.rest()
        if not self.over and not self.failed:
            self._read(rest)
            if self.over:
                return rest + b"\n\n"
        if not self.over and not self.failed:
            self.failed = "cut" if self.started else "empty"
        return b""

    def _read(self, events: bytes) -> None:
        for line in events.split(b"\n"):
            if line.startswith(_DATA):
                self._event(line)

    def _event(self, line: bytes) -> None:
        kind = b"content_block_delta" if line.startswith(_DELTA) else _kind(line)
        if kind == b"content_block_delta":
            self.characters += max(CHARACTERS_A_TOKEN, len(line) - _MESSAGES_FRAME)
        elif kind in (b"message_start", b"message_delta"):
            event = _parsed(line)
            if isinstance(event, dict):
                self.figures.feed(event)
            self.stop_reason = _inside(event, "delta", "stop_reason") or self.stop_reason
        elif kind == b"content_block_start" and b"server_tool_use" in line:
            block = _block(_parsed(line))
            if block.get("type") == "server_tool_use":
                self.tools.append(str(block.get("name")))
        elif kind == b"message_stop":
            self.over = True
        elif kind == b"error":
            self.failed, self.error, self.over = "error", _parsed(line), self.started
        self.started = self.started or (not self.failed and kind not in (b"ping", b""))


class PassedChat:
    """A chat stream of a chat upstream. `wanted_usage`: the client asked for the chunk with the usage.

    We always ask the upstream for that chunk, because the ledger needs it. `answers` is the client's `n`.
    """

    def __init__(self, *, wanted_usage: bool, answers: int = 1) -> None:
        self.failed: str | None = None
        self.started = self.over = False
        self.error: Any = None
        self.stop_reason: str | None = None
        self.characters = 0
        self.figures = OpenAIStream()
        self._wanted = wanted_usage
        self._lines = Lines(LINE_BYTES)
        self._answers, self._several = answers, answers > 1
        self._finished: set[int] = set()

    @property
    def counted(self) -> Any:
        """The upstream's figures so far, for the ledger."""
        return self.figures.figures

    def feed(self, data: bytes) -> bytes:
        whole = self._lines.of(data)
        if self._lines.too_long:
            self.failed = "line_too_long"
        lines = whole.split(b"\n")
        passed = [line for line in lines if not line.startswith(_DATA) or self._event(line)]
        return whole if len(passed) == len(lines) else b"\n".join(passed)

    def end(self) -> bytes:
        if not self.over and len(self._finished) < self._answers and not self.failed:
            self.failed = "cut" if self.started else "empty"
        return b""

    def _event(self, line: bytes) -> bool:
        """Reads one event; False if the client does not get it."""
        if line.find(b"[DONE]", 0, 16) >= 0:
            self.over = True
            return True
        delta, finish, usage = line.find(_CHAT_DELTA), line.find(_FINISH), line.find(b'"usage"')
        shown = True
        if (
            delta < 0
            or (finish >= 0 and line.find(b'"', finish + 16, finish + 18) > 0)  # a text, so the answer ends
            or (usage >= 0 and _USAGE.search(line, usage))
            or b'"error"' in line
            or (self._several and line.count(_CHAT_DELTA) > 1)
        ):
            shown = self._read(_parsed(line), len(line))
        else:
            # Behind the delta there is no text: logprobs, OpenAI's obfuscation, llama.cpp's names.
            end = finish if finish > delta else line.rfind(b"}]", delta) + 1 or len(line)
            logprobs = line.find(b'"logprobs":', delta, end)
            length = (end if logprobs < 0 else logprobs) - delta - _CHAT_FRAME
            self.characters += length if length > CHARACTERS_A_TOKEN else CHARACTERS_A_TOKEN
        if not self.started:
            self.started = not self.failed
        return shown

    def _read(self, chunk: Any, size: int) -> bool:
        """Reads a chunk with more than text in it. Text of `size` bytes that is no chunk may be words of the answer."""
        if not isinstance(chunk, dict):
            self.characters += max(CHARACTERS_A_TOKEN, size)
            return True
        if chunk.get("error") or chunk.get("object") == "error":
            self.failed, self.error, self.over = "error", chunk, self.started
            return True
        self.figures.feed(chunk)
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            delta = choice.get("delta") or choice.get("message")
            if isinstance(delta, dict) and (characters := parts.characters(delta)):
                self.characters += max(CHARACTERS_A_TOKEN, characters)
            if choice.get("finish_reason"):
                index = choice.get("index")
                self._finished.add(index if isinstance(index, int) else 0)
                self.stop_reason = str(choice["finish_reason"])
        return bool(choices) or self._wanted or not chunk.get("usage")


def _kind(line: bytes) -> bytes:
    """The type of an event. Servers write it first, as Anthropic does; otherwise the event is parsed."""
    if match := _TYPE_FIRST.match(line):
        return match[1]
    kind = _inside(_parsed(line), "type")
    return kind.encode("utf-8", "replace") if kind else b""


def _parsed(line: bytes) -> Any:
    """The JSON of a data line; None for other text, which changes nothing."""
    try:
        return bounded.loads(line[len(_DATA) :])
    except (orjson.JSONDecodeError, UpstreamFailedError):
        return None


def _block(event: Any) -> dict[str, Any]:
    block = event.get("content_block") if isinstance(event, dict) else None
    return block if isinstance(block, dict) else {}


def _inside(event: Any, *names: str) -> str | None:
    for name in names:
        event = event.get(name) if isinstance(event, dict) else None
    return event if isinstance(event, str) else None
