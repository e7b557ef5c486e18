"""The malformed part of a body is named; a correct body has no problem."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tollgate.services.replica.request_body import KEPT, Body

RIGHT: list[dict[str, Any]] = [
    {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    {
        "messages": [
            {"role": "assistant", "content": None},
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ]
    },
    {"messages": [], "system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "words"}]}]},
    {"messages": [{"role": "user", "content": [{"type": "tool_use", "id": "t", "name": "n", "input": {"a": 1}}]}]},
    {"tools": [{"name": "t", "input_schema": {"type": "object", "properties": {"a": {"type": "array", "items": {}}}}}]},
    {"tools": [{"type": "function", "function": {"name": "t", "parameters": {"properties": {"a": {"enum": [1]}}}}}]},
    {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
    {"prompt": "x", "max_tokens": 5, "n": None},
    {"prompt": ["x", [1, 2]], "input": [1, 2, 3]},
    {"metadata": {"user_id": "u"}, "thinking": {"type": "enabled"}, "stream_options": None},
]
WRONG: list[tuple[Any, str]] = [
    ([], "the body: expected an object"),
    ({"messages": "hello"}, "messages: expected a list"),
    ({"messages": [1]}, "messages.0: expected an object"),
    ({"messages": [{"content": 5}]}, "messages.0.content: expected a list"),
    ({"messages": [{"content": [True]}]}, "messages.0.content.0: expected an object"),
    ({"messages": [{"content": [{"text": "x"}]}]}, "messages.0.content.0.type: expected text"),
    ({"messages": [{"content": [{"type": "text", "text": 1}]}]}, "messages.0.content.0.text: expected text"),
    ({"messages": [{"content": [{"type": "image", "source": 1}]}]}, "messages.0.content.0.source: expected an object"),
    (
        {"messages": [{"content": [{"type": "tool_result", "content": [1]}]}]},
        "messages.0.content.0.content.0: expected an object",
    ),
    ({"system": [1]}, "system.0: expected an object"),
    ({"prompt": True}, "prompt: expected text or a list"),
    ({"prompt": None}, "prompt: expected text or a list"),
    ({"max_tokens": {}}, "max_tokens: expected a whole number"),
    ({"n": True}, "n: expected a whole number"),
    ({"prompt": [False]}, "prompt.0: expected text or tokens"),
    ({"input": [None]}, "input.0: expected text or tokens"),
    ({"tools": {}}, "tools: expected a list"),
    ({"tools": [{"name": 1}]}, "tools.0.name: expected text"),
    ({"tools": [{"function": 1}]}, "tools.0.function: expected an object"),
    ({"tools": [{"input_schema": []}]}, "tools.0.input_schema: expected an object"),
    ({"tools": [{"input_schema": {"properties": []}}]}, "tools.0.input_schema.properties: expected an object"),
    (
        {"tools": [{"input_schema": {"properties": {"a": True}}}]},
        "tools.0.input_schema.properties.a: expected an object",
    ),
    (
        {"tools": [{"input_schema": {"properties": {"a": {"type": "array"}}}}]},
        "tools.0.input_schema.properties.a.items: expected an object",
    ),
    ({"tools": [{"function": {"parameters": {"required": 1}}}]}, "tools.0.parameters.required: expected a list"),
    ({"metadata": []}, "metadata: expected an object"),
    ({"thinking": True}, "thinking: expected an object"),
]


def problem(*pieces: bytes) -> str:
    body = Body()
    for piece in pieces:
        body.add(piece)
    return body.wrong()


@pytest.mark.parametrize("body", RIGHT, ids=str)
def test_a_body_that_litellm_can_handle_has_no_problem(body: dict[str, Any]) -> None:
    assert problem(json.dumps(body).encode()) == ""


@pytest.mark.parametrize(("body", "message"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_the_malformed_part_is_named(body: Any, message: str) -> None:
    text = json.dumps(body).encode()
    assert problem(text) == message
    assert problem(text[:3], text[3:], b"") == message


def test_a_clients_name_is_shown_without_control_characters() -> None:
    message = problem(json.dumps({"tools": [{"input_schema": {"properties": {"\x1b[2J" + "a" * 999: 1}}}]}).encode())
    assert "\x1b" not in message
    assert len(message) < 150


def test_a_body_that_is_too_large_to_keep_is_not_checked() -> None:
    assert problem(b"[" * 1000) in ("the body: expected JSON", "the body: expected less nesting")
    assert problem(b"{", b"x" * KEPT) == ""
    assert problem() == ""
