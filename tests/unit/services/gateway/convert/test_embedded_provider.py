"""The embedded provider asked in both of its APIs: the converted way says the same as its own Messages API.

It repeats what it was asked, calls tools that it is asked for by name, and refuses what strict servers refuse.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support import messages_stream
from tollgate.services.gateway.convert.answer import to_messages
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.request import to_chat
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.provider import operations
from tollgate.services.provider.delivery import Stream, Whole
from tollgate.services.provider.exchange import Exchange
from tollgate.services.provider.recorder import Recorder

LS = {
    "name": "ls",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
}
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}
CALL = {"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": "/"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "a.py"}
REQUESTS: dict[str, dict[str, Any]] = {
    "text": {},
    "system and blocks": {
        "system": [{"type": "text", "text": "S"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "ä 😀"}]}],
    },
    "length": {"max_tokens": 2, "messages": [{"role": "user", "content": "one two three four five six seven"}]},
    "stop sequence": {"stop_sequences": ["three"], "messages": [{"role": "user", "content": "one two three four"}]},
    "a tool": {"tools": [LS], "tool_choice": {"type": "any"}},
    "this tool": {"tools": [LS], "tool_choice": {"type": "tool", "name": "ls", "disable_parallel_tool_use": True}},
    "no tool": {"tools": [LS], "tool_choice": {"type": "none"}},
    "a result": {
        "tools": [LS],
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [CALL]},
            {"role": "user", "content": [RESULT]},
        ],
    },
    "json": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}


def asked(route: str, body: dict[str, Any]) -> bytes:
    entry = Recorder().open("POST", route, "", [])
    exchange = Exchange(operations.api_of(route, {}), entry, {}, json.dumps(body).encode(), "id", under_test=True)
    delivery = operations.find("POST", route)(exchange)
    if isinstance(delivery, Stream):
        return b"".join(frame.data for frame in delivery.frames)
    assert isinstance(delivery, Whole)
    return delivery.answer


def told(message: dict[str, Any]) -> list[Any]:
    """Kinds, words and inputs. Ids are each API's own, and so are the counts that the provider speaks of."""
    blocks = [{name: value for name, value in block.items() if name != "id"} for block in message["content"]]
    for block in blocks:
        if "text" in block:
            block["text"] = re.sub(r"\d+ (messages?|input tokens)", "some", block["text"])
    return [blocks, message["stop_reason"]]


@pytest.mark.parametrize("name", REQUESTS)
def test_both_ways_say_the_same(name: str) -> None:
    body = {"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "hello"}], **REQUESTS[name]}
    own = json.loads(asked("/v1/messages", body))
    chat = json.loads(asked("/v1/chat/completions", to_chat(body, model="m", options=Options())))
    given: dict[str, Any] = {"request": body, "model": "m", "message_id": "msg_1", "estimate": 1}
    converted = to_messages(chat, **given)
    # The chat API does not tell that a stop sequence ended the answer.
    right = "end_turn" if own["stop_reason"] == "stop_sequence" else own["stop_reason"]
    assert told(converted) == [told(own)[0], right]
    assert converted["usage"]["output_tokens"] == chat["usage"]["completion_tokens"]

    streamed = asked("/v1/chat/completions", to_chat({**body, "stream": True}, model="m", options=Options()))
    stream = ChatStream(**given)
    message = messages_stream.read(stream.feed(streamed) + stream.end())
    assert told({"content": message.content, **message.delta}) == told(converted)
    assert message.usage == converted["usage"]


def test_the_requests_have_different_answers() -> None:
    """An answer that was always the same would prove nothing."""
    answers = {
        asked(
            "/v1/messages", {"model": "m", "max_tokens": 500, "messages": [{"role": "user", "content": "hi"}], **more}
        )
        for more in REQUESTS.values()
    }
    assert len(answers) >= len(REQUESTS) - 1
