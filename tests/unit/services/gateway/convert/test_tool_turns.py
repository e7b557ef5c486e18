"""Tools in a Messages request: calls, their results and their ids, and what Anthropic's servers did."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.services.gateway.convert.requests_built import (
    HI,
    LS,
    PNG,
    PNG_PART,
    chat,
    refused,
    result,
    text,
    use,
)


def test_a_system_message_between_a_call_and_its_result() -> None:
    talk = [
        *HI,
        {"role": "assistant", "content": [use()]},
        {"role": "system", "content": "S"},
        {"role": "user", "content": [result()]},
    ]
    assert [message["role"] for message in chat(talk)["messages"]] == ["user", "assistant", "tool", "user"]


def test_tools_that_come_and_go_are_spoken_of_and_new_ones_are_offered() -> None:
    definition = {"type": "tool_definition", "definition": {"name": "cat", "input_schema": LS["input_schema"]}}
    changes = [
        {"type": "tool_addition", "tool": definition},
        {"type": "tool_addition", "tool": definition},
        {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "ls"}},
    ]
    converted = chat([*HI, {"role": "system", "content": changes}], tools=[LS])
    assert [tool["function"]["name"] for tool in converted["tools"]] == ["ls", "cat"]
    assert "The tool cat can be called now." in converted["messages"][0]["content"]
    assert "The tool ls cannot be called any more." in converted["messages"][0]["content"]
    odd = [{"type": "tool_addition", "tool": {"type": "mcp_toolset_reference", "server_name": "x"}}]
    assert not refused([*HI, {"role": "system", "content": odd}]).final
    assert not refused([*HI, {"role": "system", "content": [PNG]}]).final


def test_results_are_tool_messages_in_the_order_of_the_calls() -> None:
    talk = [
        *HI,
        {"role": "assistant", "content": [text("I look."), use("t1", path="a"), use("t2", "cat", path="ä")]},
        {"role": "user", "content": [text("Go on."), result("t2", [text("x"), PNG, text("y")]), result("t1", None)]},
    ]
    assert chat(talk)["messages"][1:] == [
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "ls", "arguments": '{"path": "a"}'}},
                {"id": "t2", "type": "function", "function": {"name": "cat", "arguments": '{"path": "ä"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "(no output)"},
        {
            "role": "tool",
            "tool_call_id": "t2",
            "content": "x\n\ny\n\n(Images and files of this result are in the next message.)",
        },
        {"role": "user", "content": [PNG_PART, text("Go on.")]},
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("boom", "Error: boom"),
        ("Error: boom", "Error: boom"),
        (None, "Error: (no output)"),
        ([], "Error: (no output)"),
        ([text("a"), text("b")], "Error: a\n\nb"),
    ],
)
def test_a_result_that_is_an_error_says_so(content: Any, words: str) -> None:
    """aibridge pull request 78, copilot-api pull request 241."""

    def last(**more: Any) -> Any:
        talk = [
            *HI,
            {"role": "assistant", "content": [use()]},
            {"role": "user", "content": [result("t1", content, **more)]},
        ]
        return chat(talk)["messages"][-1]["content"]

    assert last(is_error=True) == words
    assert last() == last(is_error=False) == words.removeprefix("Error: ") or content == "Error: boom"


def test_other_blocks_of_results_are_words() -> None:
    content = [
        {"type": "tool_reference", "tool_name": "cat"},
        {"type": "browser_state", "tabs": [{"url": "https://a"}]},
        {"type": "search_result", "title": "T", "source": "s", "content": []},
    ]
    talk = [*HI, {"role": "assistant", "content": [use()]}, {"role": "user", "content": [result("t1", content)]}]
    words = chat(talk)["messages"][-1]["content"]
    assert words.startswith("The tool cat can be called now.\n\n[State of the browser: ")
    assert "https://a" in words


@pytest.mark.parametrize(
    "answer",
    [
        [],
        [result("t1")],
        [result("t1"), result("t2"), result("t2")],
        [result("t1"), result("t2"), result("t3")],
        [text("never mind")],
    ],
)
def test_calls_and_results_that_do_not_pair_are_refused(answer: list[Any]) -> None:
    calls = {"role": "assistant", "content": [use("t1"), use("t2")]}
    refusal = refused([*HI, calls, *([{"role": "user", "content": answer}] if answer else [])])
    assert (refusal.reason, refusal.final) == ("unpaired_tool", True)
    assert refused([{"role": "user", "content": [result("t9")]}]).reason == "unpaired_tool"
    assert chat([*HI, calls, {"role": "user", "content": [result("t1"), result("t2")]}])


def test_equal_ids_in_one_turn_are_refused_and_in_two_turns_taken() -> None:
    turn = [{"role": "assistant", "content": [use("t1")]}, {"role": "user", "content": [result("t1")]}]
    assert len(chat([*HI, *turn, *turn])["messages"]) == 5
    assert refused([*HI, {"role": "assistant", "content": [use("t1"), use("t1")]}]).reason == "malformed"


def test_what_anthropics_servers_did_becomes_words() -> None:
    """litellm issue 32086 and its siblings: nothing of a conversation vanishes without a word."""
    content = [
        text("I search."),
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "tides"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s1",
            "content": [{"type": "web_search_result", "title": "Tides", "url": "https://t", "encrypted_content": "Zz"}],
        },
        {
            "type": "code_execution_tool_result",
            "content": {"type": "code_execution_result", "stdout": "4", "stderr": "", "return_code": 0},
        },
        {
            "type": "web_fetch_tool_result",
            "content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_allowed"},
        },
        {"type": "mcp_tool_result", "is_error": False, "content": [{"type": "text", "text": "from mcp"}]},
        {"type": "compaction", "content": "Earlier: all well."},
        {"type": "compaction", "content": None},
        {"type": "fallback", "from": {}, "to": {}},
        text("High at"),
        text(" noon."),
    ]
    words = chat([*HI, {"role": "assistant", "content": content}, *HI])["messages"][1]["content"]
    assert words == (
        'I search.\n\n[Called the tool web_search: {"query": "tides"}]\n\n[Result of web_search]\nTides\nhttps://t\n\n'
        "[Result of code_execution]\n4\n0\n\n[Result of web_fetch]\nurl_not_allowed\n\n[Result of mcp]\nfrom mcp\n\n"
        "Earlier: all well.\n\nHigh at noon."
    )
    alone = chat([*HI, {"role": "assistant", "content": [{"type": "fallback"}]}, *HI])["messages"]
    assert alone[1] == {"role": "assistant", "content": "(no output)"}


def test_ids_and_long_names_of_the_upstream_come_back_as_its_own() -> None:
    name = "mcp__a_server_with_a_long_name__" + "x" * 60
    talk = [
        *HI,
        {"role": "assistant", "content": [use("tgid_ZnVuY3Rpb25zLkJhc2g6MA", name)]},
        {"role": "user", "content": [result("tgid_ZnVuY3Rpb25zLkJhc2g6MA")]},
    ]
    converted = chat(talk, tools=[{**LS, "name": name}], tool_choice={"type": "tool", "name": name})
    call = converted["messages"][1]["tool_calls"][0]
    assert call["id"] == converted["messages"][2]["tool_call_id"] == "functions.Bash:0"
    assert call["function"]["name"] == converted["tools"][0]["function"]["name"] != name
    assert converted["tool_choice"]["function"]["name"] == call["function"]["name"]
