"""Safeguards through the official `anthropic` SDK, which knows nothing of them."""

from __future__ import annotations

from typing import Any

import anthropic

from tests.contract.provider.cases import both_ways
from tests.contract.provider.target import Target

ASKED = {"safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"home_dir": "/home/alice"}}]}
BETA = {"anthropic-beta": "dangerous-tool-use-2026-09-03"}
BASH = {"name": "Bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}


def ask(claude: anthropic.Anthropic, target: Target, stream: bool, words: str, **more: Any) -> tuple[list[str], Any]:
    """The ids of the tool calls, and the results: None without the field."""
    request: dict[str, Any] = {
        "model": target.model,
        "max_tokens": 900,
        "messages": [{"role": "user", "content": words}],
        "tools": [BASH],
        "extra_headers": BETA,
        **more,
    }
    if not stream:
        message = claude.messages.create(**request).to_dict()
        return [block["id"] for block in message["content"] if block["type"] == "tool_use"], message.get(
            "safeguard_results"
        )
    with claude.messages.create(stream=True, **request) as answer:
        events = [event.to_dict() for event in answer]
    blocks = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    (ending,) = [event["delta"] for event in events if event["type"] == "message_delta"]
    return [block["id"] for block in blocks if block["type"] == "tool_use"], ending.get("safeguard_results")


@both_ways
def test_each_tool_call_has_a_result(claude: anthropic.Anthropic, dialled: Target, stream: bool) -> None:
    calls, results = ask(claude, dialled, stream, "use Bash and call Bash", extra_body=ASKED)
    assert len(calls) == 2
    harmless = {"type": "evaluated", "outcome": "not_flagged"}
    status = {"type": "available", "tool_uses": dict.fromkeys(calls, harmless)}
    assert results == [{"type": "dangerous_tool_use", "status": status}]


@both_ways
def test_the_dial_flags_a_call(claude: anthropic.Anthropic, dialled: Target, stream: bool) -> None:
    calls, results = ask(claude, dialled, stream, "use Bash [[safeguard=flagged]]", extra_body=ASKED)
    assert [results[0]["status"]["tool_uses"][call]["outcome"] for call in calls] == ["flagged"]


@both_ways
def test_twin_without_the_question_there_is_no_result(
    claude: anthropic.Anthropic, dialled: Target, stream: bool
) -> None:
    calls, results = ask(claude, dialled, stream, "use Bash [[safeguard=flagged]]")
    assert (len(calls), results) == (1, None)
