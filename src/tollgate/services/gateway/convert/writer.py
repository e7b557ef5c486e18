"""Writes the events of a Messages stream: one block open at a time, each with its place.

Events: https://platform.claude.com/docs/build-with-claude/streaming. A client loses a block that is not closed without
a word (measured with Claude Code 2.1.329), so opening a block or ending the message closes the one before.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring as quoted
from typing import Literal

from tollgate.services.gateway.convert import usage
from tollgate.services.gateway.convert.ending import Ending
from tollgate.services.gateway.convert.refusal import Json

_DELTA = 'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%s","%s":'
_DELTA_END = "}}\n\n"
# The first halves of letters outside of the basic plane, as UTF-16 cuts them.
HIGH_HALVES = ("\ud800", "\udbff")


class Writer:
    """Collects events until `taken`. `started`: message_start was written. `block`: the kind of the open block."""

    def __init__(self) -> None:
        self.started = False
        self.block: Literal["", "text", "thinking", "tool_use"] = ""
        self._index = -1
        self._head = ""
        self._out: list[str] = []
        self._blank = ""
        self._half = ""

    def taken(self) -> bytes:
        """The events since the last time. A lone half of a surrogate pair becomes JSON's escape for it."""
        if not self._out:
            return b""
        events = "".join(self._out)
        self._out.clear()
        return events.encode("utf-8", "backslashreplace")

    def start(self, message_id: str, model: str, estimate: int) -> None:
        """`estimate` is in input tokens; message_delta has the true figure (CLIProxyAPI issue 1700)."""
        self.started = True
        message: Json = {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage.in_messages(usage.Tokens(output=0), estimate=estimate, characters=0),
        }
        self._event("message_start", {"message": message})

    def text(self, text: str) -> None:
        """Text is written from its first letter on: Anthropic refuses a history with a text block of blanks alone."""
        if self.block != "text":
            if text.isspace():
                self._blank += text
                return
            self._open("text", {"type": "text", "text": ""}, "text_delta", "text")
            text = self._blank + text
            self._blank = ""
        self.piece(text)

    def open_thinking(self) -> None:
        self._blank = ""
        block = {"type": "thinking", "thinking": "", "signature": ""}
        self._open("thinking", block, "thinking_delta", "thinking")

    def close_thinking(self, signature: str) -> None:
        self._delta({"type": "signature_delta", "signature": signature})
        self.close()

    def redacted_thinking(self, data: str) -> None:
        self.close()
        self._index += 1
        block = {"type": "redacted_thinking", "data": data}
        self._event("content_block_start", {"index": self._index, "content_block": block})
        self._event("content_block_stop", {"index": self._index})

    def open_call(self, call_id: str, name: str) -> None:
        self._blank = ""
        block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        self._open("tool_use", block, "input_json_delta", "partial_json")

    def piece(self, text: str) -> None:
        """A piece of the open block, not empty."""
        if self._half or HIGH_HALVES[0] <= text[-1] <= HIGH_HALVES[1]:
            text = self._joined(text)
        self._out += (self._head, quoted(text), _DELTA_END)

    def close(self) -> None:
        if self.block:
            if self._half:
                self._half = ""
                self.piece("\N{REPLACEMENT CHARACTER}")
            self._event("content_block_stop", {"index": self._index})
            self.block = ""

    def _joined(self, text: str) -> str:
        """`text` with the half letter before it, without the half letter at its end.

        Servers that cut their text by UTF-16 units split an emoji in two pieces; clients parse each piece alone.
        """
        text, self._half = self._half + text, ""
        if HIGH_HALVES[0] <= text[-1] <= HIGH_HALVES[1]:
            text, self._half = text[:-1], text[-1]
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def end(self, ending: Ending, tokens: Json) -> None:
        self.close()
        delta = {"stop_reason": ending.stop_reason, "stop_sequence": ending.stop_sequence}
        self._event("message_delta", {"delta": delta, "usage": tokens})
        self._event("message_stop", {})

    def error(self, error_type: str, message: str) -> None:
        self._event("error", {"error": {"type": error_type, "message": message}})

    def _open(self, kind: Literal["text", "thinking", "tool_use"], block: Json, delta: str, field: str) -> None:
        self.close()
        self._index += 1
        self.block = kind
        self._event("content_block_start", {"index": self._index, "content_block": block})
        self._head = _DELTA % (self._index, delta, field)

    def _delta(self, delta: Json) -> None:
        self._event("content_block_delta", {"index": self._index, "delta": delta})

    def _event(self, name: str, payload: Json) -> None:
        data = json.dumps({"type": name, **payload}, ensure_ascii=False, separators=(",", ":"))
        self._out.append(f"event: {name}\ndata: {data}\n\n")


def message_events(writer: Writer, message: Json) -> None:
    """The blocks of a whole Messages answer as events, each with its content in one delta."""
    for block in message["content"]:
        match block["type"]:
            case "thinking":
                writer.open_thinking()
                if block["thinking"]:
                    writer.piece(block["thinking"])
                writer.close_thinking(block["signature"])
            case "redacted_thinking":
                writer.redacted_thinking(block["data"])
            case "text":
                writer.text(block["text"])
            case "tool_use":
                writer.open_call(block["id"], block["name"])
                writer.piece(json.dumps(block["input"], ensure_ascii=False))
    writer.end(Ending(message["stop_reason"], message["stop_sequence"]), message["usage"])
