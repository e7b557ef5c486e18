"""A whole chat completion as an answer of the Messages API."""

from __future__ import annotations

import json
from typing import Any

from tollgate.services.gateway.convert import (
    arguments,
    carried,
    ending,
    parts,
    reasoning,
    upstream_error,
    usage,
)
from tollgate.services.gateway.convert.call_ids import CallIds
from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.convert.upstream_error import Loads, UpstreamFailedError


def parse(body: bytes, loads: Loads = json.loads) -> Any:
    """The JSON of an upstream's answer. Raises UpstreamFailedError for a web page, nothing, and other text."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start:
        raise UpstreamFailedError("empty")
    if start.startswith(b"<"):
        raise UpstreamFailedError("html", start.decode("utf-8", "replace"))
    for read in (loads, json.loads):
        try:
            return read(body)
        except (ValueError, RecursionError):
            continue
    raise UpstreamFailedError("unreadable", start.decode("utf-8", "replace"))


def to_messages(
    chat: Any,
    *,
    request: Json,
    model: str,
    message_id: str,
    estimate: int,
    loads: Loads = json.loads,
) -> Json:
    """The Messages answer for `chat`, the parsed JSON of a chat completion.

    `request` is the client's Messages request, `model` the name the client asked for, `message_id` the new answer's id
    (`msg_…`), `estimate` the input tokens for an upstream that counts none.
    Raises UpstreamFailedError where there is no answer in it, or half of one.
    """
    choice, message = _choice(chat)
    display = reasoning.display(request)
    blocks = _thinking(message, display)
    refusal = parts.refusal(message)
    text = parts.text(message) + refusal
    if text and not text.isspace():
        blocks.append({"type": "text", "text": text})
    calls = _calls(message, CallIds(request, message_id), request, loads, cut=_is_cut(choice))
    end = ending.read(choice, request, calls=bool(calls), refused=bool(refusal))
    tokens = usage.read(chat) or usage.Tokens()
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": blocks + calls + (_secrets(message) if display == "off" and calls else []),
        "stop_reason": end.stop_reason,
        "stop_sequence": end.stop_sequence,
        "usage": usage.in_messages(tokens, estimate=estimate, characters=characters(chat)),
    }


def characters(chat: Any) -> int:
    """The characters of an answer that `to_messages` takes: text, reasoning and arguments, shown or not."""
    return parts.characters(_choice(chat)[1])


def _choice(chat: Any) -> tuple[Json, Json]:
    """The first choice and its message."""
    if not isinstance(chat, dict):
        raise UpstreamFailedError("unreadable", type(chat).__name__)
    if failure := upstream_error.of(chat):
        raise failure
    choices = chat.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise UpstreamFailedError("no_choices")
    if failure := upstream_error.of(choice):
        raise failure
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UpstreamFailedError("no_choices")
    return choice, message


def _is_cut(choice: Json) -> bool:
    finish = choice.get("finish_reason")
    return isinstance(finish, str) and ending.is_length(finish)


def _thinking(message: Json, display: reasoning.Display) -> list[Json]:
    """The thinking block, or one without words for reasoning that came encrypted only."""
    words, details = parts.reasoning(message), parts.details(message)
    if display == "off":
        return []
    if words:
        shown = words if display == "shown" else ""
        signature = carried.signature(details, "" if shown else words)
        return [{"type": "thinking", "thinking": shown, "signature": signature}]
    return _secrets(message)


def _secrets(message: Json) -> list[Json]:
    """Reasoning that came encrypted. A client that asked for no thinking gets it after the calls, which need it."""
    details = parts.details(message)
    if any(map(carried.is_opaque, details)):
        return [{"type": "redacted_thinking", "data": carried.pack(carried.joined(details))}]
    return []


def _calls(message: Json, ids: CallIds, request: Json, loads: Loads, *, cut: bool) -> list[Json]:
    """The tool_use blocks. A call that the length limit has cut is left out: the client must not run half of it."""
    blocks: list[Json] = []
    called = parts.calls(message)
    names = carried.long_names(request) if called else {}
    for call in called:
        name, given = parts.function(call)
        try:
            if not name:
                raise UpstreamFailedError("bad_tool_call", "a call without a name")
            value = arguments.parse(given, loads)
        except UpstreamFailedError:
            if cut and call is called[-1]:
                break
            raise
        call_id = ids.take(parts.call_id(call))
        blocks.append({"type": "tool_use", "id": call_id, "name": names.get(name, name), "input": value})
    return blocks
