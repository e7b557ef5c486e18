"""Definitions of tools, the choice among them, and tools that only Anthropic's servers run."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.chat_requests import problems
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError
from tollgate.services.gateway.convert.request import to_chat
from tollgate.services.gateway.convert.schemas import is_strict

LS = {
    "name": "ls",
    "description": "Lists.",
    "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}},
}
LS_FUNCTION = {"name": "ls", "description": "Lists.", "parameters": LS["input_schema"]}
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
# omlx issue 1002, claude-code issue 61624: each sent raw was a 400 of the upstream.
SERVER_TOOLS = [
    SEARCH,
    {"type": "web_fetch_20250910", "name": "web_fetch"},
    {"type": "code_execution_20250825", "name": "code_execution"},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
    {"type": "memory_20250818", "name": "memory"},
    {"type": "computer_20250124", "name": "computer", "display_width_px": 1, "display_height_px": 1},
    {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
    {"type": "mcp_toolset", "mcp_server_name": "files"},
    {"type": "advisor_20260301", "name": "advisor", "model": "x"},
]


def convert(tools: Any, choice: Any = None, options: Options | None = None, **more: Any) -> dict[str, Any]:
    body = {
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": tools,
        "tool_choice": choice,
        **more,
    }
    chat = to_chat(body, model="m", options=options or Options())
    assert problems(chat) == []
    return chat


def functions(chat: dict[str, Any]) -> list[Any]:
    assert all(set(tool) == {"type", "function"} for tool in chat.get("tools", []))
    return [tool["function"] for tool in chat.get("tools", [])]


def test_a_tool_is_a_function_and_nothing_of_anthropics_goes_with_it() -> None:
    dressed = {
        **LS,
        "type": "custom",
        "cache_control": {"type": "ephemeral"},
        "defer_loading": True,
        "eager_input_streaming": True,
        "allowed_callers": ["direct"],
        "input_examples": [{}],
    }
    assert functions(convert([dressed])) == functions(convert([LS])) == [LS_FUNCTION]


@pytest.mark.parametrize(
    ("schema", "parameters"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": "object"}, {"type": "object", "properties": {}}),
        ({"properties": {"a": True}}, {"type": "object", "properties": {"a": True}}),
        (
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {}, "x": 1},
            {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {}, "x": 1},
        ),
    ],
)
def test_schemas_change_as_little_as_openai_allows(schema: Any, parameters: dict[str, Any]) -> None:
    tool = {"name": "a"} if schema is None else {"name": "a", "input_schema": schema}
    assert functions(convert([tool])) == [{"name": "a", "parameters": parameters}]


def test_strict_only_where_openai_takes_it() -> None:
    closed = {
        "type": "object",
        "properties": {"a": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    assert functions(convert([{"name": "a", "strict": True, "input_schema": closed}]))[0]["strict"] is True
    assert "strict" not in functions(convert([{"name": "a", "input_schema": closed}]))[0]
    assert "strict" not in functions(convert([{**LS, "strict": True}]))[0]


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, True),
        ({"type": "object", "additionalProperties": False}, True),
        ({"type": "object", "properties": {}}, False),
        ({"type": "array", "items": {"type": "object"}}, False),
        ({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}]}, False),
        ({"$defs": {"a": {"type": "object"}}}, False),
        ({"enum": [{"type": "object"}], "default": {"type": "object"}, "const": {"type": "object"}}, True),
        ({"type": "object", "properties": {"required": {"type": "string"}}, "additionalProperties": False}, False),
        (
            {"type": "object", "properties": {"a": {}}, "required": "a", "additionalProperties": False},
            False,
        ),
    ],
)
def test_what_openai_takes_as_strict(schema: dict[str, Any], strict: bool) -> None:
    assert is_strict(schema) is strict


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        ({"type": "tool", "name": "ls"}, {"tool_choice": {"type": "function", "function": {"name": "ls"}}}),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"tool_choice": "required", "parallel_tool_calls": False}),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
        (None, {}),
    ],
)
def test_the_choice_of_a_tool(choice: Any, chosen: dict[str, Any]) -> None:
    chat = convert([LS], choice)
    assert {name: chat[name] for name in ("tool_choice", "parallel_tool_calls") if name in chat} == chosen


def test_a_choice_without_tools() -> None:
    assert (
        set(convert(None, {"type": "auto"}))
        == set(convert([], {"type": "none"}))
        == {"model", "max_tokens", "messages"}
    )


@pytest.mark.parametrize("tool", SERVER_TOOLS, ids=lambda tool: tool["type"])
def test_a_server_tool_is_left_out_beside_others_or_refused(tool: dict[str, Any]) -> None:
    assert functions(convert([tool, LS])) == functions(convert([LS, tool], {"type": "any"})) == [LS_FUNCTION]
    name = tool.get("name", tool["type"])
    for tools, choice in (([tool], None), ([tool], {"type": "any"}), ([tool, LS], {"type": "tool", "name": name})):
        with pytest.raises(CannotConvertError) as caught:
            convert(tools, choice)
        assert (caught.value.reason, caught.value.final) == ("server_tool", True)
        assert name in caught.value.sentence
        assert caught.value.field in ("tools.0", "tool_choice.name")
    assert functions(convert([tool], {"type": "none"})) == []


def test_a_tool_of_ones_own_may_have_the_name_of_a_server_tool() -> None:
    own = {**LS, "name": "web_search"}
    assert [
        function["name"] for function in functions(convert([SEARCH, own], {"type": "tool", "name": "web_search"}))
    ] == ["web_search"]


def test_an_unknown_type_with_a_schema_is_a_function() -> None:
    assert functions(convert([{**LS, "type": "next_weeks_tool"}])) == [LS_FUNCTION]
