"""The errors of each API and their words, the counting of the cache, and malformed bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tollgate.services.provider import operations
from tollgate.services.provider.anthropic import request as anthropic_request
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import MAX_DEPTH, json_object
from tollgate.services.provider.exchange import Exchange
from tollgate.services.provider.openai import request as openai_request
from tollgate.services.provider.recorder import Recorder

USER = {"role": "user", "content": "hi"}
CALL = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
OPENAI_CALL = {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_tokens": ...}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "max_tokens: Input should be greater than or equal to 1"),
        ({"max_tokens": "9"}, "max_tokens: Input should be a valid integer"),
        ({"model": ...}, "model: Field required"),
        ({"messages": ...}, "messages: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "system", "content": "x"}]}, 'messages: Unexpected role "system". The Messages API'),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role: Input should be 'user' or 'assistant'"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages.0: all messages must have non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "odd"}]}]}, "messages.0.content.0: Input tag 'odd' found"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
            "messages.0.content.0.text.text: Field required",
        ),
        ({"messages": [{"role": "user", "content": [RESULT]}]}, "messages.0.content.0: unexpected `tool_use_id` found"),
        (
            {"messages": [USER, {"role": "assistant", "content": [CALL]}, USER]},
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: t1.",
        ),
        ({"tool_choice": {"type": "any"}}, "tool_choice may only be specified while providing tools"),
        ({"tools": [{"name": "f"}]}, "tools.0.custom.input_schema: Field required"),
        (
            {
                "tools": [{"name": "f", "input_schema": {"properties": 3, "required": ["x"]}}],
                "tool_choice": {"type": "any"},
            },
            "tool f: JSON schema is invalid",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 9}},
            "thinking.enabled.budget_tokens: Input should be greater",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
        ({"stop_sequences": [" "]}, "stop_sequences: each stop sequence must contain non-whitespace"),
        ({"temperature": 2}, "temperature: "),
    ],
    ids=str,
)
def test_errors_have_anthropics_words(change: dict[str, Any], words: str) -> None:
    refusal = refused("/v1/messages", {"model": "m", "max_tokens": 99, "messages": [USER]} | change)
    assert refusal["type"] == "error"
    assert refusal["error"]["type"] == "invalid_request_error"
    assert refusal["error"]["message"].startswith(words)


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"model": ...}, "model", None),
        ({"messages": ...}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "missing_required_parameter"),
        ({"messages": [USER, OPENAI_CALL, USER]}, "messages[2]", None),
        ({"messages": [{"role": "tool", "tool_call_id": "c", "content": "x"}]}, "messages[0].role", None),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"n": 2}, "n", "unsupported_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"stream_options": {"include_usage": True}}, "stream_options", None),
        ({"tool_choice": "required"}, "tool_choice", None),
        ({"response_format": {"type": "xml"}}, "response_format", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc"}}]}]},
            "messages[0].content[0].image_url.url",
            "invalid_image_url",
        ),
    ],
    ids=str,
)
def test_errors_have_openais_words(change: dict[str, Any], param: str, code: str | None) -> None:
    error = refused("/v1/chat/completions", {"model": "m", "messages": [USER]} | change)["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert error["message"]


def exchange_for(path: str, raw: bytes, **headers: str) -> Exchange:
    entry = Recorder().open("POST", path, "", [])
    return Exchange(operations.api_of(path, headers), entry, headers, raw, "id", under_test=True)


def refused(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The envelope of the refusal; a value of ... leaves the field out."""
    sent = {name: value for name, value in body.items() if value is not ...}
    exchange = exchange_for(path, json.dumps(sent).encode())
    with pytest.raises(ApiError) as caught:
        operations.find("POST", path)(exchange)
    assert caught.value.status == 400
    return exchange.api.envelope(caught.value, "req_1")


def test_a_system_message_in_the_middle_is_accepted_by_default() -> None:
    messages = [USER, {"role": "system", "content": "be kind"}]
    body = {"model": "m", "max_tokens": 9, "messages": messages}
    raw = json.dumps(body).encode()
    assert operations.messages(exchange_for("/v1/messages", raw))
    with pytest.raises(ApiError, match='Unexpected role "system"'):
        operations.messages(exchange_for("/v1/messages", raw, **{"x-tollgate-dial": "roles=strict"}))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/messages", r"prompt is too long: \d+ tokens > 2 maximum"),
        ("/v1/chat/completions", "This model's maximum context length is 2 tokens"),
    ],
)
def test_a_prompt_longer_than_the_context_dial_is_refused(path: str, words: str) -> None:
    long = {"role": "user", "content": "words " * 10}
    raw = json.dumps({"model": "m", "max_tokens": 9, "messages": [long]}).encode()
    answer = operations.find("POST", path)
    assert answer(exchange_for(path, raw, **{"x-tollgate-dial": "context=9000"}))
    with pytest.raises(ApiError, match=words):
        answer(exchange_for(path, raw, **{"x-tollgate-dial": "context=2"}))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{",
        b'{"a": NaN}',
        b'{"a": 1e999}',
        rb'{"a": "\ud800"}',
        b"[" * 99_999,
        b"\xff",
        b'{"a":' * 200 + b"1" + b"}" * 200,
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_a_body_that_is_not_a_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(ApiError, match="not valid JSON"):
        json_object(raw)


def test_json_of_the_maximum_depth_is_read() -> None:
    assert json_object(b'{"a":' * (MAX_DEPTH - 1) + b"1" + b"}" * (MAX_DEPTH - 1))


CACHED = {"cache_control": {"type": "ephemeral"}}


def usage(messages: list[dict[str, Any]], **body: Any) -> tuple[int, int, int]:
    """Tokens neither read nor written, read, written; each text of four letters is one token."""
    counted = anthropic_request.read({"model": "m", "max_tokens": 9, "messages": messages, **body}).usage
    return counted.uncached, counted.cache_read, counted.cache_write


def test_the_counting_of_cached_tokens() -> None:
    rules = [{"type": "text", "text": "rule" * 10, **CACHED}]
    first = {
        "role": "user",
        "content": [{"type": "text", "text": "one." * 2, **CACHED}, {"type": "text", "text": "tail"}],
    }
    reply = {"role": "assistant", "content": "yes!"}
    second = {"role": "user", "content": [{"type": "text", "text": "two." * 3, **CACHED}]}
    assert usage([USER], system="rule" * 10) == (11, 0, 0)
    assert usage([USER], system=rules) == (1, 0, 10)
    assert usage([first], system=rules) == (1, 0, 12)
    assert usage([first, reply, second], system=rules) == (0, 13, 4)
    assert usage([USER, reply, USER], system=rules) == (3, 10, 0)


def test_the_time_to_live_is_that_of_the_last_mark() -> None:
    rules = [{"type": "text", "text": "rule", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    assert (
        anthropic_request.read({"model": "m", "max_tokens": 9, "system": rules, "messages": [USER]}).usage.cache_ttl
        == "1h"
    )


def test_openai_tool_results_are_those_at_the_end() -> None:
    results = [{"role": "tool", "tool_call_id": "c1", "content": "4"}]
    body = {"model": "m", "messages": [USER, OPENAI_CALL, *results]}
    assert [result.text for result in openai_request.read(body).tool_results] == ["4"]
    later = {"model": "m", "messages": [*body["messages"], USER]}
    assert openai_request.read(later).tool_results == ()
