"""The stream beyond the recorded ones: when it begins, what it bounds, and what it never does."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import messages_stream
from tollgate.services.gateway.convert.answer import to_messages
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.gateway.convert.usage import Tokens

DONE = b"data: [DONE]\n\n"


def chunk(delta: Any = None, finish: Any = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if delta is None else delta, "finish_reason": finish}
    return f"data: {json.dumps({'choices': [choice], **more})}\n\n".encode()


def opened(request: Any = None, **more: Any) -> ChatStream:
    return ChatStream(request=request or {}, model="m", message_id="msg_1", estimate=5, **more)


def whole(*pieces: bytes, **more: Any) -> tuple[messages_stream.Read, ChatStream]:
    stream = opened(**more)
    sent = b"".join(map(stream.feed, pieces)) + stream.end()
    return messages_stream.read(sent), stream


def call(text: Any = None, index: Any = 0, **function: Any) -> bytes:
    return chunk({"tool_calls": [{"index": index, "function": {"arguments": text, **function}}]})


def test_nothing_is_sent_before_the_first_word() -> None:
    """So another upstream can be asked, as long as nobody has seen anything."""
    stream = opened()
    assert stream.feed(b": waiting\n\n" + chunk({"role": "assistant", "content": ""})) == b""
    assert not stream.started
    sent = stream.feed(b'data: {"error": {"message": "boom", "code": 500}}\n\n')
    assert (stream.failed, stream.started, stream.over) == ("server", False, True)
    assert messages_stream.read(sent).error == {
        "type": "api_error",
        "message": "The model's server failed. Try again later.",
    }
    assert stream.feed(chunk({"content": "late"})) == stream.end() == b""


def test_the_first_word_begins_the_message() -> None:
    stream = opened()
    events = messages_stream.events(stream.feed(chunk({"content": "Hi"})))
    assert [event["type"] for event in events] == ["message_start", "content_block_start", "content_block_delta"]
    assert events[0]["message"]["usage"]["input_tokens"] == 5
    assert stream.started
    assert stream.usage is None
    assert stream.stop_reason is None
    assert (stream.failed, stream.characters) == (None, 2)


def test_a_text_delta_is_sent_with_the_chunk_that_brought_it() -> None:
    stream = opened()
    stream.feed(chunk({"content": "Hi"}))
    assert (
        stream.feed(chunk({"content": ' "ä" \n 😀 \u2028'}))
        == (
            'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
            '"text":" \\"ä\\" \\n 😀 \u2028"}}\n\n'
        ).encode()
    )


def test_arguments_are_sent_as_they_come() -> None:
    stream = opened()
    stream.feed(call("", name="ls"))
    assert b'"partial_json":"{\\"pa"' in stream.feed(call('{"pa'))
    assert b'"partial_json":"th\\":1}"' in stream.feed(call('th":1}'))


def test_a_second_call_is_sent_as_it_comes_once_the_first_is_whole() -> None:
    stream = opened()
    stream.feed(call("{}", name="ls"))
    assert b'"index":1' in stream.feed(call("", 1, name="cat"))
    assert b'"partial_json":"{\\"a"' in stream.feed(call('{"a', 1))
    interleaved = opened()
    interleaved.feed(call("{", name="ls"))
    assert interleaved.feed(call('{"a', 1, name="cat")) == b""


def test_a_failure_after_words_keeps_the_words() -> None:
    message, stream = whole(chunk({"content": "Half"}))
    assert message.content == [{"type": "text", "text": "Half"}]
    assert (message.error["type"], message.delta, stream.failed, stream.started) == ("api_error", {}, "cut", True)


def test_usage_is_known_after_a_failure_too() -> None:
    _, stream = whole(chunk({"content": "Half"}, usage={"prompt_tokens": 7, "completion_tokens": 1}))
    assert (stream.failed, stream.usage, stream.characters) == ("cut", Tokens(7, 1), 4)


def test_the_finish_reason_needs_no_done_and_done_needs_a_finish_reason() -> None:
    assert whole(chunk({"content": "a"}, "stop"))[1].stop_reason == "end_turn"
    assert whole(chunk({"content": "a"}, "stop"), DONE, chunk({"content": "b"}))[0].content == [
        {"type": "text", "text": "a"}
    ]
    assert whole(chunk({"content": "a"}), DONE)[1].failed == "cut"
    assert whole(DONE)[1].failed == "cut"
    assert whole()[1].failed == "empty"


def test_an_error_after_the_finish_reason_is_a_failure() -> None:
    assert whole(chunk({"content": "a"}, "stop"), b'data: {"error": "x"}\n\n')[1].failed == "error"


@pytest.mark.parametrize(
    "data",
    [
        b"data: 7\n\n",
        b"data: null\n\n",
        b'data: ["a"]\n\n',
        b"data: nonsense\n\n",
        b"data: {\n\n",
        b'data: "text"\n\n',
    ],
)
def test_events_that_are_no_chunks_are_a_failure(data: bytes) -> None:
    for loads in (json.loads, orjson.loads):
        _, stream = whole(chunk({"content": "a"}), data, chunk({}, "stop"), loads=loads)
        assert stream.failed == "unreadable"


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"choices": None},
        {"choices": 7},
        {"choices": [7]},
        {"choices": [{}]},
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        {"choices": [{"index": 0, "delta": "text"}]},
        {"choices": [{"index": 0, "delta": {"content": 7, "tool_calls": 7, "reasoning": 7, "reasoning_details": 7}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": []}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [7, None]}}]},
        {"choices": [], "usage": 7},
        {"error": None, "choices": []},
        {"object": "chat.completion.chunk"},
    ],
    ids=repr,
)
def test_chunks_with_nothing_for_the_client_are_left_out(odd: Any) -> None:
    message, stream = whole(chunk({"content": "a"}), f"data: {json.dumps(odd)}\n\n".encode(), chunk({}, "stop"))
    assert message.content == [{"type": "text", "text": "a"}]
    assert stream.stop_reason == "end_turn"


def test_an_empty_event_and_bytes_that_are_no_utf_8_break_nothing() -> None:
    torn = chunk({"content": "a?b"}).replace(b"?", b"\xff")
    message, _ = whole(b"data:\n\ndata: \n\n", torn, chunk({}, "stop"))
    assert message.content == [{"type": "text", "text": "a\N{REPLACEMENT CHARACTER}b"}]


@pytest.mark.parametrize("loads", [json.loads, orjson.loads])
def test_half_an_emoji_that_stays_half(loads: Any) -> None:
    half = b'data: {"choices":[{"index":0,"delta":{"content":"a\\ud83d"}}]}\n\n'
    message, _ = whole(half, chunk({}, "stop"), loads=loads)
    assert message.content == [{"type": "text", "text": "a\N{REPLACEMENT CHARACTER}"}]
    low = b'data: {"choices":[{"index":0,"delta":{"content":"a\\ude00b"}}]}\n\n'
    assert whole(low, chunk({}, "stop"), loads=loads)[0].content == [{"type": "text", "text": "a\ude00b"}]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"data: " + b"x" * 200],
        [b"data: " + b"x" * 60, b"x" * 60],
        [b"data: " + b"y" * 60 + b"\n"] * 3,
        [b'{"a": "', b"x" * 200],
    ],
    ids=["a line", "a line in pieces", "an event of many lines", "a whole answer"],
)
def test_lines_events_and_whole_answers_are_bounded(pieces: list[bytes]) -> None:
    stream = opened(line_bytes=100)
    sent = b"".join(map(stream.feed, pieces))
    assert (stream.failed, stream.over, messages_stream.read(sent).error["type"]) == (
        "line_too_long",
        True,
        "api_error",
    )
    assert whole(*pieces, line_bytes=300)[1].failed != "line_too_long"
    assert whole(chunk({"content": "a"}, "stop"), line_bytes=200)[1].failed is None


@pytest.mark.parametrize(
    "data", [b'data: {"message": "boom"}\n', b"data: boom\n", b'data: "boom"\n', b"", b"data: {\n"]
)
def test_an_event_that_is_named_error_is_a_failure(data: bytes) -> None:
    message, stream = whole(chunk({"content": "a"}, "stop"), b"event: error\n" + data + b"\n")
    assert stream.failed in ("error", "unreadable")
    assert message.error["type"] == "api_error"
    assert whole(chunk({"content": "a"}, "stop"), b"event: message\n\n" + DONE)[1].failed is None


def test_many_small_pieces_of_one_line_are_joined_once() -> None:
    """A line that comes in pieces is not joined again for each of them."""
    text = "a" * 100_000
    data = chunk({"content": text}) + chunk({}, "stop")
    message, _ = whole(*(data[place : place + 10] for place in range(0, len(data), 10)))
    assert message.content[0]["text"] == text


def test_blanks_before_the_words() -> None:
    assert whole(chunk({"content": "\n"}), chunk({"content": " \n"}), chunk({"content": "a"}, "stop"))[0].content == [
        {"type": "text", "text": "\n \na"}
    ]
    message, _ = whole(chunk({"content": "\n\n"}), call("{}", name="ls"), chunk({}, "stop"))
    assert [block["type"] for block in message.content] == ["tool_use"]
    assert whole(chunk({"content": "\n\n"}, "stop"))[0].content == []


def test_thinking_between_texts() -> None:
    thinking = {"request": {"thinking": {"type": "adaptive"}}}
    pieces = [chunk({"content": "a"}), chunk({"reasoning": "b"}), chunk({"content": "c"}), call("{}", name="ls")]
    message, _ = whole(*pieces, chunk({"reasoning": "late"}), chunk({}, "stop"), **thinking)
    assert [block["type"] for block in message.content] == ["text", "thinking", "text", "tool_use"]


def test_a_secret_that_comes_after_the_calls_is_kept() -> None:
    secret = {"type": "reasoning.encrypted", "data": "x"}
    pieces = [call("{}", name="ls"), chunk({"reasoning_details": [secret, 7]}), chunk({}, "stop")]
    message, _ = whole(*pieces, request={"thinking": {"type": "adaptive"}})
    assert [block["type"] for block in message.content] == ["tool_use", "redacted_thinking"]


def test_pieces_that_come_after_their_call_was_closed() -> None:
    closed = [call("{}", name="a"), call('{"x": 1}', name="a"), call("{", 1, name="b"), call("}", 1)]
    assert whole(*closed, call(" \n", 0), chunk({}, "stop"))[1].stop_reason == "tool_use"
    assert whole(*closed, call("more", 0), chunk({}, "stop"))[1].failed == "bad_tool_call"


def test_a_brace_pair_before_the_real_arguments_is_left_out() -> None:
    message, _ = whole(call("{}", name="a"), call('{"x"'), call(": 1}"), chunk({}, "stop"))
    assert message.content[0]["input"] == {"x": 1}


def test_calls_without_an_index() -> None:
    def piece(**more: Any) -> bytes:
        return chunk({"tool_calls": [more]})

    pieces = [
        piece(id="a", function={"name": "ls", "arguments": '{"x"'}),
        piece(function={"arguments": ": 1}"}),
        piece(id="b", function={"name": "cat", "arguments": {"y": 2}}),
        piece(id="b", function={"name": "cat", "arguments": None}),
    ]
    message, _ = whole(*pieces, chunk({}, "stop"))
    assert [(block["id"], block["input"]) for block in message.content] == [("a", {"x": 1}), ("b", {"y": 2})]


@pytest.mark.parametrize("finish", ["tool_calls", "length"])
def test_calls_that_are_not_whole(finish: str) -> None:
    """Only the length limit excuses half a call, and only the last one."""
    fine = finish == "length"
    for pieces in (
        [call("{", 0, name="ls")],
        [call('"half', 0, name="ls")],
        [call("{", 0)],
        [call("{}", 0, name="ls"), call("{", 1)],
    ):
        assert (whole(*pieces, chunk({}, finish))[1].failed is None) is fine, pieces
    assert whole(call("{", 0, name="ls"), call("{}", 1, name="ls"), chunk({}, finish))[1].failed == "bad_tool_call"
    assert whole(call("{", 0), call("{}", 1, name="ls"), chunk({}, finish))[1].failed == "bad_tool_call"


def test_long_names_are_the_clients_own_again() -> None:
    from tollgate.services.gateway.convert.carried import short_name

    name = "x" * 90
    message, _ = whole(call("{}", name=short_name(name)), chunk({}, "stop"), request={"tools": [{"name": name}]})
    assert message.content[0]["name"] == name


@pytest.mark.parametrize("display", ["omitted", "summarized"])
@pytest.mark.parametrize("words", ["", "why"])
def test_a_whole_answer_instead_of_a_stream_has_all_kinds_of_blocks(display: str, words: str) -> None:
    secret = {"type": "reasoning.encrypted", "data": "x"}
    message = {"content": "yes", "reasoning": words, "reasoning_details": [secret]}
    chat = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    request = {"thinking": {"type": "adaptive", "display": display}}
    read, stream = whole(json.dumps(chat).encode(), request=request)
    assert read.content == to_messages(chat, request=request, model="m", message_id="msg_1", estimate=5)["content"]
    assert [block["type"] for block in read.content] == ["thinking" if words else "redacted_thinking", "text"]
    assert (stream.stop_reason, stream.characters, stream.started) == ("end_turn", 3 + len(words), True)


def test_an_error_field_of_a_choice() -> None:
    data = {"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error", "error": {"code": 429}}]}
    assert whole(chunk({"content": "a"}), f"data: {json.dumps(data)}\n\n".encode())[1].failed == "rate_limit"


JSON = st.recursive(
    st.none()
    | st.integers(0, 2)
    | st.text(max_size=4)
    | st.sampled_from(["reasoning.encrypted", "reasoning.text", "text", "{", "{}", '{"a":', "1}", "ls"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *(
                        "choices",
                        "delta",
                        "content",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "index",
                        "id",
                        "usage",
                    ),
                    *("finish_reason", "reasoning", "reasoning_details", "type", "text", "refusal", "error", "message"),
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


CALL = st.fixed_dictionaries(
    {},
    optional={
        "index": st.integers(0, 2),
        "id": st.sampled_from(["a", "b", "c:0"]),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["ls", "cat"]),
                "arguments": st.sampled_from(["{}", "{", "}", '{"a":', "1}", ""]),
            },
        ),
    },
)
DETAIL = st.fixed_dictionaries(
    {"type": st.sampled_from(["reasoning.encrypted", "reasoning.text"])},
    optional={"data": st.just("x"), "text": st.just("y"), "signature": st.just("z"), "index": st.integers(0, 1)},
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": st.sampled_from(["", "\n", "words", None]),
        "tool_calls": st.lists(CALL, max_size=2),
        "reasoning": st.sampled_from(["", "why", None]),
        "reasoning_details": st.lists(DETAIL, max_size=2),
    },
)


@settings(max_examples=250, deadline=None)
@given(
    deltas=st.lists(DELTA, max_size=8),
    display=st.sampled_from(["omitted", "summarized"]),
    finish=st.sampled_from(["stop", "length"]),
)
def test_any_order_of_words_reasoning_and_calls_gives_a_message(deltas: list[Any], display: str, finish: str) -> None:
    thinking = {"request": {"thinking": {"type": "adaptive", "display": display}}}
    message, stream = whole(*map(chunk, deltas), chunk({}, finish), **thinking)
    assert stream.failed in (None, "bad_tool_call")
    assert bool(message.delta) is not bool(stream.failed)
    if not stream.failed and finish == "stop":
        assert all(isinstance(block["input"], dict) for block in message.content if block["type"] == "tool_use")
        written = "".join(block["text"] for block in message.content if block["type"] == "text")
        assert written.count("words") == sum(delta.get("content") == "words" for delta in deltas)


@settings(max_examples=150, deadline=None)
@given(
    deltas=st.lists(
        st.dictionaries(st.sampled_from(["content", "tool_calls", "reasoning", "reasoning_details"]), JSON), max_size=4
    )
)
def test_any_delta_gives_a_message_or_an_error(deltas: list[Any]) -> None:
    thinking = {"request": {"thinking": {"type": "adaptive"}}}
    message, stream = whole(*map(chunk, deltas), chunk({}, "stop"), DONE, **thinking)
    assert bool(message.error) is bool(stream.failed)
    assert bool(message.delta) is not bool(stream.failed)


@settings(max_examples=150, deadline=None)
@given(
    data=st.lists(
        JSON.map(lambda value: f"data: {json.dumps(value)}\n\n".encode()) | st.binary(max_size=30), max_size=5
    )
)
def test_any_bytes_give_a_message_or_an_error(data: list[bytes]) -> None:
    message, stream = whole(*data)
    assert stream.over
    assert bool(message.error) is bool(stream.failed) is not bool(message.delta)
