"""Tools that a provider runs: which need a price, what they cost at most, and how often they ran."""

from __future__ import annotations

from typing import Any

import pytest

from tollgate.services.requests.paid_tools import MOST_USES, called, most, nano_each, problem, used

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
PRICES = nano_each({"web_search": "0.01", "code_execution": "0"})


def body(*tools: Any, **more: Any) -> dict[str, Any]:
    return {"model": "m", "tools": list(tools), **more}


def added(tool: Any) -> dict[str, Any]:
    block = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool}}
    return {"messages": [{"role": "system", "content": [block]}]}


def test_a_price_is_whole_nano_dollars_and_never_free_by_rounding() -> None:
    assert nano_each({"a": "0.01", "b": "0", "c": "0.0000000001"}) == {"a": 10_000_000, "b": 0, "c": 1}


@pytest.mark.parametrize(
    "tool",
    [
        SEARCH,
        {"type": "web_search_20270101", "name": "x", "max_uses": 1},
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "advisor_20260301", "name": "advisor", "max_uses": 1},
        {"type": "brand_new_20270101", "name": "x", "input_schema": {"type": "object"}},
        {"type": "openrouter:web_search"},
        {"type": ["web_search_20250305"]},
        {"type": 7},
        {"type": ""},
    ],
)
def test_a_tool_without_a_price_is_named(tool: Any) -> None:
    told = problem(body({"name": "ls", "input_schema": {}}, tool), {})
    assert told.startswith("tools.1: this model has no price for ") and "price.server_tools" in told
    assert problem(added(tool), {}).startswith("messages.0.content.0.tool.definition: ")


@pytest.mark.parametrize(
    "tool",
    [
        {"name": "ls", "input_schema": {}},
        {"type": "custom", "name": "ls", "input_schema": {}},
        {"type": "function", "function": {"name": "ls"}},
        {"type": "bash_20250124", "name": "bash"},
        {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
        {"type": "computer_20250124", "name": "computer"},
        {"type": "memory_20250818", "name": "memory"},
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"},
        {"type": "mcp_toolset", "mcp_server_name": "x"},
        "no object",
    ],
)
def test_twin_tools_that_cost_only_tokens_need_none(tool: Any) -> None:
    assert problem(body(tool), {}) == ""
    assert most(body(tool), PRICES) == 0


@pytest.mark.parametrize("uses", [None, 0, -1, 1.5, True, "3", MOST_USES + 1])
def test_a_tool_that_costs_money_needs_max_uses(uses: Any) -> None:
    told = problem(body({**SEARCH, "max_uses": uses}), PRICES)
    assert told.startswith("tools.0.max_uses: expected a whole number from 1 to")


def test_twin_a_tool_at_no_cost_needs_no_max_uses() -> None:
    assert problem(body({"type": "code_execution_20250825", "name": "code_execution"}), PRICES) == ""


def test_the_most_is_every_allowed_use() -> None:
    assert most(body(SEARCH, {**SEARCH, "max_uses": 2}, **added({**SEARCH, "max_uses": 1})), PRICES) == 60_000_000


def test_nothing_is_read_of_a_body_of_another_shape() -> None:
    for odd in ({"tools": None}, {"tools": {}}, {"messages": "x"}, {"messages": [{"role": "system", "content": [1]}]}):
        assert problem(odd, {}) == "" and most(odd, PRICES) == 0


@pytest.mark.parametrize(
    ("said", "seen", "ended", "ran"),
    [
        ({"web_search_requests": 2}, [], True, 2),
        ({"web_search_requests": 1}, ["web_search"] * 3, True, 1),  # two of the calls failed
        ({"web_search_requests": 0}, ["web_search"] * 2, False, 2),  # the count of message_start
        ({"web_search_requests": 2}, ["web_search"], False, 2),
        (None, ["web_search", "other"], True, 1),
        ({"web_search_requests": 999}, ["web_search"], True, 1),
        ({"web_search_requests": -1}, [], True, 0),
        ({"web_search_requests": True}, ["web_search"], True, 1),
        ({"web_search_requests": "2"}, [], True, 0),
        ({}, ["web_search"] * 9, True, 3),
        ("no object", [], True, 0),
    ],
)
def test_uses_are_counted_as_the_provider_says_within_what_was_allowed(
    said: Any, seen: list[str], ended: bool, ran: int
) -> None:
    found = used(said, seen, body(SEARCH), PRICES, ended=ended)
    assert found == ({"web_search": ran} if ran else {})


def test_calls_are_read_from_the_content_of_an_answer() -> None:
    content = [
        {"type": "text"},
        {"type": "server_tool_use", "name": "web_search"},
        7,
        {"type": "tool_use", "name": "x"},
    ]
    assert called(content) == ["web_search"]
    assert called(None) == called({"type": "server_tool_use"}) == []
