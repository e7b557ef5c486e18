"""Thinking: how it is asked for, and how the thinking of earlier turns goes back to the upstream that wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support import messages_stream
from tollgate.services.gateway.convert import carried
from tollgate.services.gateway.convert.answer import to_messages
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError
from tollgate.services.gateway.convert.request import to_chat
from tollgate.services.gateway.convert.stream import ChatStream

HI = {"role": "user", "content": "hi"}
EFFORT = Options(reasoning="reasoning_effort")
OPENROUTER = Options(reasoning="openrouter", reasoning_history="reasoning_details")
DEEPSEEK = Options(reasoning_history="reasoning_content")


def asked(options: Options, **more: Any) -> dict[str, Any]:
    chat = to_chat({"max_tokens": 9, "messages": [HI], **more}, model="m", options=options)
    return {name: value for name, value in chat.items() if name in ("reasoning", "reasoning_effort")}


def enabled(budget: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": budget}


@pytest.mark.parametrize(
    ("more", "effort", "openrouter"),
    [
        ({}, None, None),
        ({"thinking": {"type": "disabled"}}, None, None),
        ({"thinking": {"type": "adaptive"}}, None, {"enabled": True}),
        ({"thinking": enabled(1024)}, "low", {"max_tokens": 1024}),
        ({"thinking": enabled(4097)}, "medium", {"max_tokens": 4097}),
        ({"thinking": enabled(16_385)}, "high", {"max_tokens": 16_385}),
        ({"thinking": enabled(1024), "output_config": {"effort": "high"}}, "high", {"effort": "high"}),
        ({"output_config": {"effort": "medium"}}, "medium", {"effort": "medium"}),
        ({"output_config": {"effort": "max"}}, "high", {"effort": "high"}),
        ({"output_config": {"effort": None}}, None, None),
    ],
)
def test_thinking_in_the_upstreams_words(more: dict[str, Any], effort: Any, openrouter: Any) -> None:
    assert asked(EFFORT, **more) == ({"reasoning_effort": effort} if effort else {})
    assert asked(OPENROUTER, **more) == ({"reasoning": openrouter} if openrouter else {})
    assert asked(Options(), **more) == {}


def test_efforts_that_an_upstream_knows() -> None:
    low = {"output_config": {"effort": "low"}}
    assert asked(Options(reasoning="reasoning_effort", efforts=("high", "max")), **low) == {"reasoning_effort": "high"}
    most = {"output_config": {"effort": "xhigh"}}
    assert asked(Options(reasoning="reasoning_effort", efforts=("low", "xhigh")), **most) == {
        "reasoning_effort": "xhigh"
    }
    with pytest.raises(CannotConvertError) as caught:
        asked(EFFORT, output_config={"effort": "extreme"})
    assert (caught.value.reason, caught.value.final) == ("unknown_value", False)


def history(*blocks: Any, options: Options) -> dict[str, Any]:
    talk = [HI, {"role": "assistant", "content": list(blocks)}, {"role": "user", "content": [*results(blocks)] or "go"}]
    message = to_chat({"max_tokens": 9, "messages": talk}, model="m", options=options)["messages"][1]
    return {name: value for name, value in message.items() if name.startswith("reasoning")}


def results(blocks: Any) -> list[Any]:
    return [{"type": "tool_result", "tool_use_id": block["id"]} for block in blocks if block["type"] == "tool_use"]


TEXT = {"type": "text", "text": "yes"}
USE = {"type": "tool_use", "id": "t", "name": "ls", "input": {}}
CLAUDES = {"type": "thinking", "thinking": "claude's", "signature": "EqoBCkg"}
OURS = {"type": "thinking", "thinking": "ours", "signature": carried.MARK}
SECRET = {"type": "reasoning.encrypted", "data": "Ci", "format": "google-gemini-v1"}
PACKED = {"type": "redacted_thinking", "data": carried.pack([SECRET])}
REDACTED = {"type": "redacted_thinking", "data": "EqoBCkg"}


def test_earlier_thinking_is_left_out_where_there_is_no_field() -> None:
    assert history(OURS, CLAUDES, PACKED, TEXT, options=Options()) == {}


def test_earlier_thinking_as_reasoning_content() -> None:
    assert history(OURS, CLAUDES, REDACTED, PACKED, TEXT, options=DEEPSEEK) == {"reasoning_content": "oursclaude's"}
    assert history(OURS, TEXT, options=Options(reasoning_history="reasoning")) == {"reasoning": "ours"}
    assert history(TEXT, options=DEEPSEEK) == {}
    assert history(USE, options=DEEPSEEK) == {"reasoning_content": ""}


def test_earlier_thinking_as_reasoning_details() -> None:
    words = {"type": "reasoning.text", "text": "ours"}
    assert history(OURS, CLAUDES, REDACTED, PACKED, TEXT, options=OPENROUTER) == {"reasoning_details": [words, SECRET]}
    assert history(CLAUDES, USE, options=OPENROUTER) == {}


@pytest.mark.parametrize("role", ["assistant", "user"])
def test_a_turn_of_thinking_alone_is_no_message(role: str) -> None:
    chat = to_chat(
        {"max_tokens": 9, "messages": [HI, {"role": "assistant", "content": [OURS]}, {"role": role, "content": "x"}]},
        model="m",
        options=DEEPSEEK,
    )
    assert [message["role"] for message in chat["messages"]] == (["user"] if role == "user" else ["user", "assistant"])


@pytest.mark.parametrize(
    "signature",
    ["", "x", None, 7, [1], carried.MARK + "%%%", carried.MARK + "bm8=", carried.MARK + "e30=", carried.MARK + "WzFd"],
)
def test_a_signature_that_a_client_has_changed_carries_nothing(signature: Any) -> None:
    assert carried.unpack(signature) == []


def test_a_signature_of_any_depth_or_size_is_read() -> None:
    import base64

    deep = base64.b64encode(b"[" * 100_000).decode()
    assert carried.unpack(carried.MARK + deep) == []
    assert carried.unpack(carried.MARK + "A" * carried.MOST_PACKED) == []


def answered(display: str | None, **message: Any) -> list[Any]:
    thinking = {"type": "adaptive", **({"display": display} if display else {})}
    chat = {"choices": [{"message": {"content": "yes", **message}, "finish_reason": "stop"}]}
    given = {"request": {"thinking": thinking}, "model": "m", "message_id": "msg_1", "estimate": 1}
    whole = to_messages(chat, **given)["content"]
    stream = ChatStream(**given)
    chunk = {"choices": [{"index": 0, "delta": {"content": "yes", **message}, "finish_reason": "stop"}]}
    streamed = messages_stream.read(stream.feed(f"data: {json.dumps(chunk)}\n\n".encode()) + stream.end())
    assert streamed.content == whole
    return whole


def test_hidden_thinking_comes_back_all_the_same() -> None:
    """Claude Code asks for `display: omitted`; DeepSeek answers 400 to a history without its reasoning."""
    thinking, _ = answered("omitted", reasoning_content="because")
    assert thinking["thinking"] == ""
    assert history(thinking, TEXT, options=DEEPSEEK) == {"reasoning_content": "because"}
    shown, _ = answered(None, reasoning_content="because")
    assert (shown["thinking"], shown["signature"]) == ("because", carried.MARK)


def test_secrets_beside_the_reasoning_come_back_as_they_were() -> None:
    details = [{"type": "reasoning.text", "text": "because", "signature": "Er", "index": 0}, {**SECRET, "index": 1}]
    for display in ("omitted", None):
        thinking, _ = answered(display, reasoning="because", reasoning_details=details)
        assert history(thinking, TEXT, options=OPENROUTER) == {"reasoning_details": details}
    redacted, _ = answered(None, reasoning_details=[SECRET])
    assert redacted["type"] == "redacted_thinking"
    assert history(redacted, TEXT, options=OPENROUTER) == {"reasoning_details": [SECRET]}


def test_a_client_that_asked_for_no_thinking_gets_none() -> None:
    """It reads `content[0].text`."""
    chat = {"choices": [{"message": {"content": "yes", "reasoning": "because"}, "finish_reason": "stop"}]}
    for request in ({}, {"thinking": {"type": "disabled"}}, {"thinking": 7}):
        given = {"request": request, "model": "m", "message_id": "msg_1", "estimate": 1}
        assert to_messages(chat, **given)["content"] == [TEXT]
        stream = ChatStream(**given)
        sent = stream.feed(b'data: {"choices":[{"index":0,"delta":{"reasoning":"because"}}]}\n\n')
        assert stream.started
        assert stream.characters == 7
        sent += stream.feed(b'data: {"choices":[{"index":0,"delta":{"content":"yes"},"finish_reason":"stop"}]}\n\n')
        assert messages_stream.read(sent + stream.end()).content == [TEXT]


def test_a_secret_comes_after_the_calls_for_a_client_without_thinking() -> None:
    """Gemini answers 400 to a call in the history without its signature."""
    calls = [{"id": "a", "index": 0, "function": {"name": "ls", "arguments": "{}"}}]
    for message, kinds in (
        (
            {"tool_calls": calls, "content": "yes", "reasoning_details": [SECRET]},
            ["text", "tool_use", "redacted_thinking"],
        ),
        ({"content": "yes", "reasoning_details": [SECRET]}, ["text"]),
    ):
        given = {"request": {}, "model": "m", "message_id": "msg_1", "estimate": 1}
        whole = to_messages({"choices": [{"message": message, "finish_reason": "stop"}]}, **given)["content"]
        assert [block["type"] for block in whole] == kinds
        chunk = {"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}
        stream = ChatStream(**given)
        sent = stream.feed(f"data: {json.dumps(chunk)}\n\n".encode()) + stream.end()
        assert messages_stream.read(sent).content == whole


@pytest.mark.parametrize("display", ["off", "omitted", "shown"])
def test_what_gemini_adds_to_a_call_comes_back_with_it(display: str) -> None:
    """codex issue 7519."""
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": "ls", "arguments": "{}"}, **more}
        for number, more in enumerate(
            [{"extra_content": {"google": {"thought_signature": "A"}}}, {}, {"extra_content": {"b": 1}}]
        )
    ]
    thinking = {"type": "disabled"} if display == "off" else {"type": "adaptive", "display": display}
    given = {"request": {"thinking": thinking}, "model": "m", "message_id": "msg_1", "estimate": 1}
    whole = to_messages({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}, **given)["content"]
    stream = ChatStream(**given)
    sent = b""
    for place, call in enumerate(calls):
        delta = {"tool_calls": [{"index": place, **call}]}
        sent += stream.feed(f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta}]})}\n\n".encode())
    sent += stream.feed(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n') + stream.end()
    for blocks in (whole, messages_stream.read(sent).content):
        turns = [HI, {"role": "assistant", "content": blocks}, {"role": "user", "content": results(blocks)}]
        request = {"max_tokens": 9, "messages": turns}
        gemini = to_chat(request, model="m", options=Options(reasoning_history="extra_content"))["messages"][1]
        assert gemini["tool_calls"] == calls
        for history in ("none", "reasoning", "reasoning_details"):
            other = to_chat(request, model="m", options=Options(reasoning_history=history))["messages"][1]
            assert "A" not in json.dumps(other)


def test_secrets_of_two_calls_are_not_joined() -> None:
    two = [{**SECRET, "id": "a"}, {**SECRET, "id": "b"}]
    assert carried.joined(two) == two
    assert carried.joined([{**SECRET, "data": "x"}, {**SECRET, "data": "y"}]) == [{**SECRET, "data": "xy"}]


def test_pieces_of_details_are_joined() -> None:
    pieces = [
        {"type": "reasoning.summary", "summary": "a", "index": 0},
        {"type": "reasoning.summary", "summary": "b", "index": 0, "id": "r"},
        {"type": "reasoning.text", "text": "c", "index": 1, "signature": None},
        {"type": "reasoning.text", "text": None, "index": 1, "signature": "s"},
    ]
    assert carried.joined(pieces) == [
        {"type": "reasoning.summary", "summary": "ab", "index": 0, "id": "r"},
        {"type": "reasoning.text", "text": "c", "index": 1, "signature": "s"},
    ]


@pytest.mark.parametrize("call", ["functions.Bash:0", "ä", "", "tgid_x", "a" * 300, "call_1", "\ud800"])
def test_ids_come_back(call: str) -> None:
    sent = carried.outward_id(call)
    assert carried._PLAIN_ID.fullmatch(sent) or sent in (carried.PACKED_ID,) or len(call) > 256
    assert call == "\ud800" or carried.inward_id(sent) == call or call == ""


@pytest.mark.parametrize("call", ["tgid_", "tgid_%", "tgid_A", "tgid__w"])
def test_an_id_that_only_looks_packed_stays(call: str) -> None:
    assert carried.inward_id(call) == call
