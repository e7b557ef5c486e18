"""Whole answers: blocks, stop reasons, tokens, and answers that are failures."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from anthropic.types import Message

from tollgate.services.gateway.convert import arguments, usage
from tollgate.services.gateway.convert.answer import characters, parse, to_messages
from tollgate.services.gateway.convert.upstream_error import DETAIL_LETTERS, KINDS, UpstreamFailedError, from_error
from tollgate.services.gateway.convert.usage import Tokens

LONG = "mcp__a_server_with_a_long_name__" + "x" * 60


def chat(message: Any, finish: Any = "stop", **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": finish, **more}]}


def convert(answer: Any, request: Any = None, **more: Any) -> dict[str, Any]:
    message = to_messages(answer, request=request or {}, model="m", message_id="msg_7", estimate=11, **more)
    Message.model_validate(message, strict=False)
    return message


def failure(answer: Any, **more: Any) -> UpstreamFailedError:
    with pytest.raises(UpstreamFailedError) as caught:
        convert(answer, **more)
    return caught.value


def call(name: Any = "ls", given: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": given}, **more}


def test_a_whole_answer() -> None:
    answer = chat({"role": "assistant", "content": "Hi", "tool_calls": [call(given='{"path": "ä"}')]}, "tool_calls")
    answer["usage"] = {"prompt_tokens": 50, "completion_tokens": 9, "prompt_tokens_details": {"cached_tokens": 20}}
    assert convert(answer) == {
        "id": "msg_7",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "c1", "name": "ls", "input": {"path": "ä"}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 30,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 20,
            "output_tokens": 9,
        },
    }
    assert characters(answer) == len("Hi") + len('{"path": "ä"}')


@pytest.mark.parametrize(
    ("finish", "calls", "reason"),
    [
        ("stop", False, "end_turn"),
        ("stop", True, "tool_use"),
        ("tool_calls", True, "tool_use"),
        ("tool_calls", False, "end_turn"),
        ("function_call", True, "tool_use"),
        ("length", False, "max_tokens"),
        ("length", True, "max_tokens"),
        ("model_length", False, "max_tokens"),
        ("content_filter", False, "refusal"),
        ("eos", False, "end_turn"),
        (None, False, "end_turn"),
        ("", True, "tool_use"),
        (7, False, "end_turn"),
    ],
)
def test_stop_reasons(finish: Any, calls: bool, reason: str) -> None:
    message = {"content": "Hi", "tool_calls": [call()] if calls else None}
    assert convert(chat(message, finish))["stop_reason"] == reason


@pytest.mark.parametrize(
    ("choice", "stops", "matched"),
    [
        ({"stop_reason": "END"}, ["X", "END"], "END"),
        ({"stop_reason": 151645}, ["END"], None),
        ({"stop_reason": "other"}, ["END"], None),
        ({"native_finish_reason": "stop_sequence"}, ["END"], "END"),
        ({"native_finish_reason": "stop_sequence"}, ["END", "X"], None),
        ({"native_finish_reason": "stop_sequence"}, [7], None),
        ({"stop_reason": "END"}, None, None),
        ({"stop_reason": "END"}, "END", None),
    ],
)
def test_the_stop_sequence_that_matched(choice: dict[str, Any], stops: Any, matched: str | None) -> None:
    answer = convert(chat({"content": "Hi"}, **choice), {"stop_sequences": stops})
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence" if matched else "end_turn", matched)


def test_a_refusal_is_text_with_its_own_stop_reason() -> None:
    answer = convert(chat({"content": None, "refusal": "I cannot."}))
    assert (answer["content"], answer["stop_reason"]) == ([{"type": "text", "text": "I cannot."}], "refusal")


@pytest.mark.parametrize("content", ["", None, "\n\n", [], 7])
def test_text_without_letters_is_no_block(content: Any) -> None:
    """Anthropic refuses it in the history of the next request."""
    assert convert(chat({"content": content}))["content"] == []
    assert convert(chat({"content": " a\n"}))["content"] == [{"type": "text", "text": " a\n"}]


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("", {}),
        (None, {}),
        ("null", {}),
        (" {} ", {}),
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('""', {}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{}{"a": 1}', {"a": 1}),
    ],
)
@pytest.mark.parametrize("loads", [json.loads, orjson.loads])
def test_arguments_are_parsed_and_mended(given: Any, value: dict[str, Any], loads: Any) -> None:
    assert arguments.parse(given, loads) == value
    assert convert(chat({"tool_calls": [call(given=given)]}), loads=loads)["content"][0]["input"] == value


@pytest.mark.parametrize("given", ["{", '{"a": ', "[1]", "7", "ls -la", '"ls"', 7, True, ["a"], "[" * 100_000])
def test_arguments_that_are_no_object_are_a_failure(given: Any) -> None:
    assert failure(chat({"tool_calls": [call(given=given)]}, "tool_calls")).kind == "bad_tool_call"


def test_half_a_call_at_the_length_limit_is_left_out() -> None:
    calls = [call(), call(given='{"a": ')]
    answer = convert(chat({"tool_calls": calls}, "length"))
    assert ([block["type"] for block in answer["content"]], answer["stop_reason"]) == (["tool_use"], "max_tokens")
    assert failure(chat({"tool_calls": calls[::-1]}, "length")).kind == "bad_tool_call"


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_call_without_a_name_is_a_failure(name: Any) -> None:
    assert failure(chat({"tool_calls": [call(name)]})).kind == "bad_tool_call"
    assert failure(chat({"tool_calls": [{"id": "c", "function": "ls"}]})).kind == "bad_tool_call"


def test_ids_are_unique_in_the_conversation() -> None:
    history = [
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c1", "name": "ls", "input": {}}, {"type": "text"}, 7],
        },
        7,
    ]
    twice = chat({"tool_calls": [call(), call(id=None), call(id=7)]})
    assert [block["id"] for block in convert(twice)["content"]] == ["c1", "toolu_7_2", "toolu_7_3"]
    assert convert(twice, {"messages": history})["content"][0]["id"] == "toolu_7_1"
    assert convert(twice, {"messages": None})["content"][0]["id"] == "c1"


def test_long_names_are_the_clients_own_again() -> None:
    from tollgate.services.gateway.convert.carried import short_name

    request = {"tools": [{"name": LONG}, {"name": "ls"}, {"name": 7}, 7]}
    answer = convert(chat({"tool_calls": [call(short_name(LONG)), call("ls", id="c2")]}), request)
    assert [block["name"] for block in answer["content"]] == [LONG, "ls"]


def test_an_older_function_call() -> None:
    older = chat({"content": None, "function_call": {"name": "ls", "arguments": "{}"}}, "function_call")
    assert convert(older)["content"] == [{"type": "tool_use", "id": "toolu_7_1", "name": "ls", "input": {}}]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([], "unreadable"),
        ("words", "unreadable"),
        ({}, "no_choices"),
        ({"choices": []}, "no_choices"),
        ({"choices": [7]}, "no_choices"),
        ({"choices": [{}]}, "no_choices"),
        ({"choices": [{"message": "hi"}]}, "no_choices"),
        ({"choices": [{"error": {"code": 502, "message": "x"}, "message": {"content": "half"}}]}, "server"),
        ({"object": "error", "message": "x", "code": 400}, "refused"),
        ({"detail": "Not Found"}, "error"),
        (chat({"content": "half"}, "error"), "error"),
        (chat({"content": "half"}, "abort"), "cut"),
    ],
)
def test_answers_that_are_failures(answer: Any, kind: str) -> None:
    assert failure(answer).kind == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Rate limit reached for gpt-5", "code": "rate_limit_exceeded"}, "rate_limit"),
        ({"message": "x", "code": 429}, "rate_limit"),
        ({"message": "x", "code": "429"}, "rate_limit"),
        ({"message": "x", "code": 401}, "account"),
        ({"message": "You exceeded your current quota", "type": "insufficient_quota"}, "account"),
        ({"message": "Overloaded", "type": "overloaded_error"}, "overloaded"),
        ({"message": "x", "code": 503}, "overloaded"),
        ({"message": "x", "code": 500}, "server"),
        ({"message": "x", "status": 422}, "refused"),
        ({"message": "Request timed out."}, "timeout"),
        ({"message": "flagged by moderation", "code": 403}, "content_filter"),
        ({"error": {"error": {"message": "x", "code": 504}}}, "timeout"),
        ({"message": {"deep": 1}, "code": 12345678901234567890}, "error"),
        ("Internal error", "error"),
        ({"code": True, "message": None}, "error"),
        (17, "error"),
    ],
)
def test_kinds_of_errors(error: Any, kind: str) -> None:
    failed = from_error(error)
    assert (failed.kind, failed.error_type, failed.message) == (kind, *KINDS[kind])
    assert len(from_error({"message": "x" * 9000}).detail) == DETAIL_LETTERS


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
            "prompt is too long: 9001 tokens > 8192 maximum",
        ),
        (
            "maximum context length is 4096 tokens, but you asked for 5123 (4000 in the messages, 1123 to answer)",
            "prompt is too long: 5123 tokens > 4096 maximum",
        ),
        ("maximum context length exceeded", "prompt is too long for this model"),
        ("maximum context length is 4096 tokens", "prompt is too long for this model"),
        ("prompt is too long: 210000 tokens > 200000 maximum", "prompt is too long: 210000 tokens > 200000 maximum"),
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_claude_codes_words(words: str, sentence: str) -> None:
    failed = from_error({"message": words, "code": 400})
    assert (failed.kind, failed.message, failed.error_type) == ("context_length", sentence, "invalid_request_error")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "empty"),
        (b" \r\n", "empty"),
        (b"\xef\xbb\xbf<html>", "html"),
        (b"  <!DOCTYPE html>", "html"),
        (b"Bad gateway", "unreadable"),
        (b'{"choices": [', "unreadable"),
        (b"[" * 100_000, "unreadable"),
    ],
)
@pytest.mark.parametrize("loads", [json.loads, orjson.loads])
def test_bodies_that_are_no_json(body: bytes, kind: str, loads: Any) -> None:
    with pytest.raises(UpstreamFailedError) as caught:
        parse(body, loads)
    assert caught.value.kind == kind
    assert parse(b' {"a": "\\ud83d"}', loads) == {"a": "\ud83d"}


@pytest.mark.parametrize(
    ("chunk", "tokens"),
    [
        ({}, None),
        ({"usage": None}, None),
        ({"usage": {}}, None),
        ({"usage": {"prompt_tokens": 9, "completion_tokens": 2}}, Tokens(9, 2)),
        ({"usage": {"input_tokens": 9, "output_tokens": 2}}, Tokens(9, 2)),
        ({"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}}, Tokens(5, None, 4)),
        ({"usage": {"prompt_tokens": 9, "prompt_tokens_details": None, "cached_tokens": 4}}, Tokens(5, None, 4)),
        ({"usage": {"prompt_tokens": 9, "prompt_cache_hit_tokens": 4}}, Tokens(5, None, 4)),
        (
            {"usage": {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}},
            Tokens(2, None, 4, 3),
        ),
        ({"usage": {"prompt_tokens": 9, "cache_read_input_tokens": 4}}, Tokens(5, None, 4)),
        ({"usage": {"prompt_tokens": 9, "cache_read_input_tokens": 40}}, Tokens(9)),
        ({"usage": {"prompt_tokens": -1, "completion_tokens": 10**12}}, Tokens()),
        ({"usage": {"prompt_tokens": "9", "completion_tokens": True}}, Tokens()),
        (
            {
                "usage": {
                    "completion_tokens": 9,
                    "completion_tokens_details": {"reasoning_tokens": 4},
                    "total_tokens": 9,
                }
            },
            Tokens(None, 9, None, None, 4),
        ),
        (
            {
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 9,
                    "completion_tokens_details": {"reasoning_tokens": 4},
                    "total_tokens": 23,
                }
            },
            Tokens(10, 13, None, None, 4),
        ),
        ({"x_groq": {"usage": {"prompt_tokens": 3}}}, Tokens(3)),
        ({"x_groq": {"id": "x"}, "timings": {"prompt_n": 3, "predicted_n": 2, "cache_n": 1}}, Tokens(3, 2, 1)),
    ],
)
def test_tokens_in_the_words_of_many_servers(chunk: dict[str, Any], tokens: Tokens | None) -> None:
    assert usage.read(chunk) == tokens


def test_estimates_stand_for_tokens_that_were_not_counted() -> None:
    assert convert(chat({"content": "a" * 41}))["usage"] == {
        "input_tokens": 11,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 11,
    }
