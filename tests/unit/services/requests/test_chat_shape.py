"""The Messages request that an upstream other than Anthropic gets."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tollgate.services.requests.chat_shape import for_others

BILLING = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.440; cc_entrypoint=sdk-cli;"}
KNOWN = {"model", "messages", "system", "tools", "metadata", "thinking", "output_config", "context_management"}
CACHED = {"cache_control": {"type": "ephemeral"}}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def reminder(words: str) -> dict[str, Any]:
    return text(f"<system-reminder>\n{words}\n</system-reminder>")


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(blocks)}


def system(*blocks: Any) -> dict[str, Any]:
    return {"role": "system", "content": list(blocks)}


CALL = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "Bash", "input": {}}]}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": "done"}


def shaped(provider: str = "hosted_vllm", **fields: Any) -> dict[str, Any]:
    fields = {"model": "m", "messages": [user(text("hi"))], **fields}
    before = copy.deepcopy(fields)
    result = for_others(fields, sent=fields, known=KNOWN.__contains__, provider=provider)
    assert fields == before, "the input was changed: the next attempt, at another upstream, would get it"
    return result


def messages(*turns: Any, provider: str = "hosted_vllm") -> list[Any]:
    return shaped(provider, messages=list(turns))["messages"]


def test_the_billing_block_is_removed_and_other_blocks_stay() -> None:
    assert shaped(system=[BILLING, text("You are.", **CACHED)])["system"] == [text("You are.", **CACHED)]
    assert shaped(system=f"{BILLING['text']}\nYou are.")["system"] == "You are."
    assert "system" not in shaped(system=[BILLING])


@pytest.mark.parametrize("words", ["You are. x-anthropic-billing-header: quoted", "You are."])
def test_other_text_stays(words: str) -> None:
    assert shaped(system=words)["system"] == words


def test_a_system_turn_becomes_text_of_the_users_turn_before_it() -> None:
    assert messages(user(text("hi")), system(text("env", **CACHED))) == [user(text("hi"), reminder("env"))]
    assert messages({"role": "user", "content": "hi"}, system(text("env"))) == [user(text("hi"), reminder("env"))]


def test_a_system_turn_is_the_same_in_the_next_turn_as_a_string() -> None:
    """Claude Code sends the newest one as blocks, later as plain text. The cached prefix must not change."""
    newest = messages(user(text("hi")), system(text("env", **CACHED)))
    later = messages(user(text("hi")), {"role": "system", "content": "env"}, CALL, user(RESULT))
    assert json.dumps(later[: len(newest)]) == json.dumps(newest)


def test_a_system_turn_is_never_between_a_call_and_its_result() -> None:
    assert messages(user(text("hi")), CALL, system(text("env")), user(RESULT, text("go on")))[2:] == [
        user(RESULT, reminder("env"), text("go on"))
    ]
    assert messages(user(text("hi")), CALL, user(RESULT), system(text("env")))[2:] == [user(RESULT, reminder("env"))]


def test_a_system_turn_after_the_models_turn_becomes_a_users_turn() -> None:
    reply = {"role": "assistant", "content": "ok"}
    assert messages(user(text("hi")), reply, system(text("env")))[2:] == [user(reminder("env"))]


def test_system_turns_at_the_beginning_join_the_system_prompt() -> None:
    result = shaped(system=[BILLING, text("You are.")], messages=[system(text("env")), user(text("hi"))])
    assert result["system"] == [text("You are."), text("env")]
    assert result["messages"] == [user(text("hi"))]


def test_fields_that_only_anthropic_knows_and_unknown_fields_are_removed() -> None:
    result = shaped(safeguards=[{"type": "x"}], brand_new={"a": 1}, metadata={"user_id": "u"}, thinking={"type": "x"})
    assert set(result) == {"model", "messages", "thinking"}


def test_the_gateways_own_fields_stay() -> None:
    """These fields are in the call but not in the client's request."""
    result = for_others({"model": "m", "litellm_call_id": "1"}, sent=["model"], known=KNOWN.__contains__, provider="x")
    assert result == {"model": "m", "litellm_call_id": "1"}


def test_only_openai_gets_the_session() -> None:
    assert shaped("openai", metadata={"user_id": "u"})["metadata"] == {"user_id": "u"}


def test_edits_that_litellm_cannot_emulate_are_removed() -> None:
    thinking, tools = {"type": "clear_thinking_20251015", "keep": "all"}, {"type": "clear_tool_uses_20250919"}
    assert shaped(context_management={"edits": [thinking, tools]})["context_management"] == {"edits": [tools]}
    assert "context_management" not in shaped(context_management={"edits": [thinking]})


def test_a_deferred_tool_is_offered_and_the_search_tool_is_removed() -> None:
    schema = {"type": "object", "properties": {"defer_loading": {"type": "boolean"}}}
    tool = {"name": "Later", "description": "d", "input_schema": schema}
    search = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    web = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    result = shaped(tools=[{**tool, "defer_loading": True, "allowed_callers": ["direct"]}, search, web])
    assert result["tools"] == [tool, web]
    assert "tools" not in shaped(tools=[search])


def test_a_reference_to_a_tool_becomes_a_sentence() -> None:
    reference = {**RESULT, "content": [{"type": "tool_reference", "tool_name": "WebFetch"}]}
    content = messages(user(text("hi")), CALL, user(reference))[2]["content"][0]["content"]
    assert content == [text("The tool WebFetch can be called now.")]


def test_reasoning_goes_only_to_upstreams_that_accept_it() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    reply = {"role": "assistant", "content": [thought, text("ok")]}
    assert messages(user(text("hi")), reply)[1] == reply
    assert messages(user(text("hi")), reply, provider="openai")[1]["content"] == [text("ok")]


def test_malformed_messages_pass_so_that_litellm_refuses_them() -> None:
    assert messages("hello", user(text("hi"))) == ["hello", user(text("hi"))]
    assert shaped(messages="hello")["messages"] == "hello"
    assert shaped(tools=["x"], system=3) == {"model": "m", "messages": [user(text("hi"))], "tools": ["x"], "system": 3}
