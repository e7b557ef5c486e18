"""Reads the events of a Messages stream as strictly as the strictest client: each event in its place, or it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

DELTAS = {
    "text": ("text_delta",),
    "thinking": ("thinking_delta", "signature_delta"),
    "tool_use": ("input_json_delta",),
    "redacted_thinking": (),
}


@dataclass
class Read:
    """The message that a stream builds up, or how far it came before `error`."""

    start: dict[str, Any] = field(default_factory=dict)
    content: list[dict[str, Any]] = field(default_factory=list)
    delta: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)


def events(stream: bytes) -> list[dict[str, Any]]:
    """The data of each event; its name and its type agree."""
    frames = stream.decode().split("\n\n")
    assert frames.pop() == "", "the stream ends inside an event"
    listed = []
    for frame in frames:
        name, data = frame.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        listed.append(event)
    return listed


def read(stream: bytes) -> Read:
    message = Read()
    open_block: dict[str, Any] | None = None
    over = False
    for event in events(stream):
        assert not over, f"{event['type']} after the end"
        kind = event["type"]
        if kind == "error":
            assert set(event) == {"type", "error"}
            message.error, over = event["error"], True
        elif kind == "message_start":
            assert not message.start
            message.start = event["message"]
        elif kind == "content_block_start":
            assert message.start and open_block is None and event["index"] == len(message.content)
            open_block = dict(event["content_block"])
            message.content.append(open_block)
        elif kind == "content_block_delta":
            assert open_block is not None and event["index"] == len(message.content) - 1
            _apply(open_block, event["delta"])
        elif kind == "content_block_stop":
            assert open_block is not None and event["index"] == len(message.content) - 1
            open_block = None
        elif kind == "message_delta":
            assert message.start and open_block is None and not message.delta
            message.delta, message.usage = event["delta"], event["usage"]
        else:
            assert kind == "message_stop" and message.delta
            over = True
    assert over or not message.start, "the message has no end"
    for block in message.content:
        _parse_input(block)
    return message


def _apply(block: dict[str, Any], delta: dict[str, Any]) -> None:
    assert delta["type"] in DELTAS[block["type"]]
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "input_json_delta":
            block["input"] = (block["input"] or "") + delta["partial_json"]


def _parse_input(block: dict[str, Any]) -> None:
    """Half an input stays text."""
    if isinstance(block.get("input"), str):
        try:
            block["input"] = json.loads(block["input"])
        except ValueError:
            return
