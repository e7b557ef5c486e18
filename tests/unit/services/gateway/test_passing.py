"""Answers that pass as they come: what the ledger reads out of them, and how a broken one is noticed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tollgate.services.gateway.ledger.usage import Estimate
from tollgate.services.gateway.passing import PassedChat, PassedMessages


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


START = event("message_start", message={"usage": {"input_tokens": 11, "output_tokens": 1}})
TEXT = event("content_block_delta", index=0, delta={"type": "text_delta", "text": 'say "error" and message_stop'})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7}) + event("message_stop")


def chunk(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"object": "chat.completion.chunk", **fields}).encode() + b"\n\n"


CHAT = chunk(choices=[{"index": 0, "delta": {"content": "hi"}, "finish_reason": None}])
CHAT_END = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
CHAT_USAGE = chunk(choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2})
DONE = b"data: [DONE]\n\n"


def fed(stream: PassedMessages | PassedChat, data: bytes, cuts: list[int]) -> bytes:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return b"".join(stream.feed(data[a:b]) for a, b in pairwise(edges))


@given(some.lists(some.integers(0, 10_000), max_size=30))
def test_a_messages_stream_passes_unchanged_in_any_pieces(cuts: list[int]) -> None:
    stream = PassedMessages()
    assert fed(stream, START + TEXT + END, cuts) == START + TEXT + END
    usage = stream.figures.usage(Estimate())
    assert (usage.input, usage.output, stream.over, stream.failed, stream.stop_reason) == (
        11,
        7,
        True,
        None,
        "end_turn",
    )


@given(some.lists(some.integers(0, 10_000), max_size=30), some.booleans())
def test_a_chat_stream_keeps_the_usage_for_who_asked(cuts: list[int], wanted: bool) -> None:
    stream = PassedChat(wanted_usage=wanted)
    passed = fed(stream, CHAT + CHAT_END + CHAT_USAGE + DONE, cuts)
    assert (b"prompt_tokens" in passed) is wanted
    assert passed.count(b"chat.completion.chunk") == 2 + wanted and passed.endswith(b"[DONE]\n\n")
    usage = stream.figures.usage(Estimate())
    assert (usage.input, usage.output, stream.over, stream.failed) == (5, 2, True, None)


@pytest.mark.parametrize("data", [b"", START, START + TEXT])
def test_a_messages_stream_that_ends_early_has_failed(data: bytes) -> None:
    stream = PassedMessages()
    stream.feed(data)
    stream.end()
    assert stream.failed == ("cut" if data else "empty")


def test_twin_a_whole_stream_has_not_failed() -> None:
    stream = PassedMessages()
    stream.feed(START + TEXT + END)
    stream.end()
    assert stream.failed is None


def test_an_error_before_anything_else_can_still_be_tried_elsewhere() -> None:
    stream = PassedMessages()
    stream.feed(event("error", error={"type": "overloaded_error", "message": "busy"}))
    assert (stream.failed, stream.started, stream.error["error"]["message"]) == ("error", False, "busy")


def test_an_error_in_the_middle_passes_and_ends_the_stream() -> None:
    stream = PassedMessages()
    stream.feed(START + TEXT)
    error = event("error", error={"type": "overloaded_error", "message": "busy"})
    assert stream.feed(error) == error
    assert (stream.failed, stream.over) == ("error", True)


@pytest.mark.parametrize("error", [{"error": {"message": "x"}}, {"object": "error", "message": "x"}])
def test_a_chat_error_is_seen_before_and_after_the_first_word(error: dict[str, Any]) -> None:
    first, later = PassedChat(wanted_usage=False), PassedChat(wanted_usage=False)
    line = b"data: " + json.dumps({**error, "error": error.get("error", "")}).encode() + b"\n\n"
    first.feed(line)
    later.feed(CHAT)
    later.feed(line)
    assert (first.failed, first.over) == ("error", False)
    assert (later.failed, later.over) == ("error", True)


def test_a_chat_stream_without_a_finish_is_cut_and_with_one_is_whole() -> None:
    cut, whole = PassedChat(wanted_usage=False), PassedChat(wanted_usage=False)
    cut.feed(CHAT)
    whole.feed(CHAT + CHAT_END)
    cut.end()
    whole.end()
    assert (cut.failed, whole.failed) == ("cut", None)


@given(some.lists(some.integers(0, 10_000), max_size=30), some.sampled_from([b"\n", b"\r\n"]))
def test_only_whole_events_pass(cuts: list[int], newline: bytes) -> None:
    """A ping of ours, or the error after a cut, may follow any piece."""
    stream = PassedMessages()
    data = (START + TEXT + END).replace(b"\n", newline)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    passed = [stream.feed(data[a:b]) for a, b in pairwise(edges)]
    assert b"".join(passed) == data
    assert all(piece.endswith(newline * 2) for piece in passed if piece)


def test_half_an_event_before_a_cut_is_not_passed() -> None:
    stream = PassedMessages()
    assert stream.feed(START + TEXT[:-3]) == START
    assert (stream.end(), stream.failed) == (b"", "cut")


def test_a_last_event_without_its_blank_line_ends_the_stream() -> None:
    stream = PassedMessages()
    passed = stream.feed(START + END[:-2]) + stream.end()
    assert (passed, stream.failed, stream.over) == (START + END, None, True)


@pytest.mark.parametrize("word", ["message_stop", '"error"', "message_start"])
def test_text_is_no_event_when_the_type_comes_last(word: str) -> None:
    stream = PassedMessages()
    fields = {"delta": {"text": word}, "index": 0, "type": "content_block_delta"}
    stream.feed(START + b"data: " + json.dumps(fields).encode() + b"\n\n")
    assert (stream.over, stream.failed) == (False, None)


def test_a_piece_counts_as_one_token_at_least() -> None:
    messages, chat = PassedMessages(), PassedChat(wanted_usage=False)
    letter = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"})
    messages.feed(START + letter * 20)
    chat.feed(chunk(choices=[{"index": 0, "delta": {"content": "a"}}]) * 20)
    assert messages.characters >= 80 and chat.characters == 80


def test_all_answers_of_a_chat_must_finish() -> None:
    one, both = PassedChat(wanted_usage=False, answers=2), PassedChat(wanted_usage=False, answers=2)
    second = chunk(choices=[{"index": 1, "delta": {}, "finish_reason": "stop"}])
    one.feed(CHAT + CHAT_END)
    both.feed(CHAT + CHAT_END + second)
    one.end()
    both.end()
    assert (one.failed, both.failed) == ("cut", None)


def test_a_long_event_in_small_pieces_costs_no_joins() -> None:
    """Four megabytes in 200,000 pieces: joining them each time would copy 400 gigabytes."""
    for stream in (PassedMessages(), PassedChat(wanted_usage=False)):
        stream.feed(b"data: ")
        for _ in range(200_000):
            stream.feed(b"x" * 20)
        assert stream.failed is None


def test_a_line_without_an_end_is_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.passing.LINE_BYTES", 1000)
    stream = PassedMessages()
    stream.feed(START + b"data: " + b"x" * 2000)
    assert stream.failed == "line_too_long"
