"""A Messages request as a chat request, field by field, each with its right value."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from tests.unit.services.gateway.convert.requests_built import (
    FULL,
    HI,
    LS,
    PDF,
    PLAIN,
    PNG,
    PNG_PART,
    body,
    chat,
    refused,
    result,
    text,
    use,
)
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError
from tollgate.services.gateway.convert.request import to_chat


def test_the_plainest_request() -> None:
    assert chat() == {"model": "up", "max_tokens": 100, "messages": HI}


def test_fields_that_an_upstream_names_otherwise() -> None:
    converted = chat(
        options=FULL,
        system="Be brief.",
        stream=True,
        temperature=0.5,
        top_p=1,
        top_k=5,
        stop_sequences=["a", "b", "c", "d", "e", "f"],
        thinking={"type": "enabled", "budget_tokens": 2000},
    )
    assert converted == {
        "model": "up",
        "max_completion_tokens": 100,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["a", "b", "c", "d"],
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 5,
        "reasoning_effort": "low",
        "messages": [{"role": "developer", "content": "Be brief."}, *HI],
    }


def test_options_that_an_upstream_lacks_are_left_out() -> None:
    lacking = Options(sampling=False, stream_options=False, stop_limit=0, user=False, parallel_tool_calls=False)
    converted = chat(
        options=lacking,
        stream=True,
        temperature=0.5,
        top_k=5,
        stop_sequences=["a"],
        metadata={"user_id": "u"},
        tools=[LS],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
    )
    assert set(converted) == {"model", "max_tokens", "stream", "tools", "tool_choice", "messages"}


def test_the_system_prompt_is_one_text_without_the_accounting_line() -> None:
    blocks = [
        text("x-anthropic-billing-header: cc_version=2;"),
        text("One.", cache_control={"type": "ephemeral"}),
        text("Two."),
    ]
    assert chat(system=blocks)["messages"][0] == {"role": "system", "content": "One.\n\nTwo."}
    assert chat(system="x-anthropic-billing-header: a;\nOne.")["messages"][0]["content"] == "One."
    assert chat(system="x-anthropic-billing-header: a;")["messages"] == HI
    assert chat(system="")["messages"] == chat(system=[])["messages"] == HI


def test_system_messages_become_words_of_the_users_turn() -> None:
    note = {"role": "system", "content": [text("Mind the time.", cache_control={"type": "ephemeral"})]}
    mark = "<system-reminder>\nMind the time.\n</system-reminder>"
    assert chat([*HI, note])["messages"] == [{"role": "user", "content": f"hi\n\n{mark}"}]
    assert chat([*HI, {**note, "content": "Mind the time."}]) == chat([*HI, note])
    assert chat([note, *HI], system="A.")["messages"][0]["content"] == "A.\n\nMind the time."
    talk = [*HI, {"role": "assistant", "content": "yes"}, note]
    assert chat(talk)["messages"][2] == {"role": "user", "content": mark}
    assert chat([*talk, {"role": "user", "content": "go"}])["messages"][2]["content"] == f"{mark}\n\ngo"


def test_messages_of_one_role_that_follow_each_other_are_one() -> None:
    talk = [*HI, *HI, {"role": "assistant", "content": "a"}, {"role": "assistant", "content": [text("b")]}, *HI]
    assert chat(talk)["messages"] == [
        {"role": "user", "content": "hi\n\nhi"},
        {"role": "assistant", "content": "ab"},
        *HI,
    ]


def test_images_are_parts() -> None:
    url = {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}}
    content = chat([{"role": "user", "content": [text("See"), PNG, url]}])["messages"][0]["content"]
    assert content == [text("See"), PNG_PART, {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}}]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ({"type": "file", "file_id": "file_1"}, "uploaded_file"),
        ({"type": "url", "url": "file:///etc/passwd"}, "malformed"),
        ({"type": "url"}, "malformed"),
        ({"type": "base64", "media_type": "application/pdf", "data": "AAAA"}, "malformed"),
        ({"type": "base64", "media_type": "image/png"}, "malformed"),
        ({"type": "pigeon"}, "malformed"),
        (None, "malformed"),
    ],
)
def test_images_that_cannot_be_sent(source: Any, reason: str) -> None:
    refusal = refused([{"role": "user", "content": [{"type": "image", "source": source}]}])
    assert (refusal.reason, refusal.final) == (reason, True)
    assert refusal.field.startswith("messages.0.content.0")


def test_an_upstream_without_images() -> None:
    blind = Options(images=False)
    refusal = refused([{"role": "user", "content": [PNG]}], blind)
    assert (refusal.reason, refusal.final, refusal.field) == ("image", True, "messages.0.content.0")
    talk = [*HI, {"role": "assistant", "content": [use()]}, {"role": "user", "content": [result(content=[PNG, PDF])]}]
    words = "(An image was here. This model cannot read it.)\n\n(A PDF was here. This model cannot read it.)"
    assert chat(talk, blind)["messages"][2] == {"role": "tool", "tool_call_id": "t1", "content": words}


def test_documents_become_words_or_files() -> None:
    plain = {"type": "document", "title": "T", "context": "C", "source": {"type": "text", "data": "words"}}
    made = {"type": "document", "source": {"type": "content", "content": [text("one"), PNG, text("two")]}}
    short = {"type": "document", "source": {"type": "content", "content": "one"}}
    encoded = {"type": "document", "source": {"type": "base64", "media_type": "text/plain", "data": "aMOk"}}
    link = {"type": "document", "source": {"type": "url", "url": "https://example.test/a.pdf"}}
    content = chat([{"role": "user", "content": [plain, made, short, encoded, PDF, link]}], FULL)["messages"][0][
        "content"
    ]
    assert content == [
        text("[Document: T]\n[Context: C]\nwords\n[End of the document]"),
        text("[Document]\none\n\ntwo\n[End of the document]"),
        PNG_PART,
        text("[Document]\none\n[End of the document]"),
        text("[Document]\nhä\n[End of the document]"),
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "file", "file": {"filename": "document.pdf", "file_data": "https://example.test/a.pdf"}},
    ]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (PDF["source"], "document"),
        ({"type": "url", "url": "https://example.test/a.pdf"}, "document"),
        ({"type": "file", "file_id": "f"}, "uploaded_file"),
        ({"type": "base64", "media_type": "text/plain", "data": "%%%"}, "malformed"),
        ({"type": "base64", "media_type": "application/zip", "data": "AAAA"}, "malformed"),
        ({"type": "text", "data": 7}, "malformed"),
        ({"type": "content", "content": 7}, "malformed"),
        ({"type": "content", "content": [{"type": "video"}]}, "malformed"),
        ({"type": "other"}, "malformed"),
    ],
)
def test_documents_that_cannot_be_sent(source: Any, reason: str) -> None:
    refusal = refused([{"role": "user", "content": [text("see"), {"type": "document", "source": source}]}])
    assert (refusal.reason, refusal.final) == (reason, True)
    assert refusal.field.startswith("messages.0.content.1")


def test_search_results_are_words() -> None:
    found = {"type": "search_result", "title": "T", "source": "https://s", "content": [text("a"), text("b")]}
    words = "[Search result: T]\n[Source: https://s]\na\nb\n[End of the search result]"
    assert chat([{"role": "user", "content": [found]}])["messages"][0]["content"] == words
    assert refused([{"role": "user", "content": [{**found, "content": "a"}]}]).final


@pytest.mark.parametrize(
    ("block", "role", "reason", "final"),
    [
        ({"type": "next_weeks_block"}, "user", "unknown_block", False),
        ({"type": "next_weeks_block"}, "assistant", "unknown_block", False),
        ({"type": "container_upload", "file_id": "f"}, "user", "provider_feature", True),
        (use(), "user", "malformed", True),
        (result(), "assistant", "malformed", True),
        (PNG, "assistant", "malformed", True),
        ({"type": "thinking", "thinking": "x"}, "user", "malformed", True),
    ],
)
def test_blocks_without_a_place(block: Any, role: str, reason: str, final: bool) -> None:
    refusal = refused([*HI, {"role": role, "content": [block]}])
    assert (refusal.reason, refusal.final, refusal.field) == (reason, final, "messages.1.content.0")


@pytest.mark.parametrize(
    "wrong",
    [
        {"messages": []},
        {"messages": None},
        {"messages": "hi"},
        {"messages": {"role": "user"}},
        {"messages": [7]},
        {"messages": [{"content": "hi"}]},
        {"messages": [{"role": "tool", "content": "hi"}]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": ""}]},
        {"messages": [{"role": "user", "content": [text("")]}]},
        {"messages": [{"role": "user", "content": [7]}]},
        {"messages": [{"role": "user", "content": [{"text": "no type"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": 7}]}]},
        {"messages": [*HI, {"role": "assistant", "content": [{**use(), "input": "ls"}]}]},
        {"messages": [*HI, {"role": "assistant", "content": [{**use(), "id": None}]}]},
        {"system": 7},
        {"system": [PNG]},
        {"max_tokens": None},
        {"max_tokens": 0},
        {"max_tokens": True},
        {"max_tokens": 1.5},
        {"stream": "yes"},
        {"temperature": "hot"},
        {"temperature": 1.5},
        {"top_p": -1},
        {"top_k": 1.5},
        {"top_k": True},
        {"stop_sequences": "END"},
        {"stop_sequences": [""]},
        {"metadata": "u"},
        {"metadata": {"user_id": 7}},
        {"thinking": True},
        {"thinking": {"type": "much"}},
        {"thinking": {"type": "enabled"}},
        {"thinking": {"type": "enabled", "budget_tokens": "many"}},
        {"output_config": "json"},
        {"output_config": {"effort": 3}},
        {"output_config": {"format": {"type": "yaml"}}},
        {"output_config": {"format": {"type": "json_schema", "schema": True}}},
        {"tools": {}},
        {"tools": [7]},
        {"tools": [{"input_schema": {}}]},
        {"tools": [{"name": "a", "type": 7}]},
        {"tools": [{"name": "a", "description": 7}]},
        {"tools": [{"name": "a", "input_schema": True}]},
        {"tools": [{"name": "a", "input_schema": {"type": "array"}}]},
        {"tools": [{"name": "a", "input_schema": {"type": "object", "properties": True}}]},
        {"tools": [LS, LS]},
        {"tool_choice": "auto"},
        {"tool_choice": {"type": "any"}},
        {"tools": [LS], "tool_choice": {"type": "tool", "name": "cat"}},
        {"tools": [LS], "tool_choice": {"type": "one"}},
    ],
    ids=repr,
)
def test_a_malformed_request_is_the_clients_mistake(wrong: dict[str, Any]) -> None:
    with pytest.raises(CannotConvertError) as caught:
        to_chat({**body(), **wrong}, model="up", options=PLAIN)
    assert (caught.value.reason, caught.value.final) == ("malformed", True)
    assert caught.value.field.split(".")[0] in wrong
    assert caught.value.sentence.startswith(f"{caught.value.field}: expected ")


@pytest.mark.parametrize("wrong", [None, 7, "x", [], True])
def test_a_body_that_is_no_object_is_refused(wrong: Any) -> None:
    with pytest.raises(CannotConvertError, match="the body: expected an object"):
        to_chat(wrong, model="up", options=PLAIN)


@pytest.mark.parametrize(
    ("name", "value"),
    [("container", {"skills": []}), ("mcp_servers", [{"url": "x"}]), ("inference_geo", "us"), ("thread", {"id": "x"})],
)
def test_what_only_anthropic_has_is_refused_by_name(name: str, value: Any) -> None:
    refusal = refused(**{name: value})
    assert (refusal.reason, refusal.final, refusal.field) == ("provider_feature", True, name)
    assert chat(**{name: None}) == chat()


def test_fields_without_a_meaning_for_chat_are_left_out() -> None:
    """Claude Code sends most of them with every request."""
    harmless = {
        "service_tier": "auto",
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "safeguards": [{"type": "dangerous_tool_use"}],
        "betas": ["a"],
        "cache_control": {"type": "ephemeral"},
        "mcp_servers": [],
        "inference_geo": "global",
    }
    assert chat(**harmless) == chat()


def test_a_field_that_is_unknown_goes_to_litellm() -> None:
    refusal = refused(**{"next_weeks\nfield": 1})
    assert (refusal.reason, refusal.final, refusal.field) == ("unknown_field", False, "next_weeksfield")
    assert chat(next_weeks_field=None) == chat()


def test_the_users_id_is_sent_as_a_digest() -> None:
    user = json.dumps({"device_id": "d" * 64, "session_id": "s"})
    assert chat(metadata={"user_id": user})["user"] == hashlib.sha256(user.encode()).hexdigest()
    assert chat(metadata={"user_id": user}) == chat(metadata={"user_id": user, "other": 1})
    assert chat(metadata={}) == chat(metadata={"user_id": ""}) == chat()


def test_a_json_answer_is_asked_for_in_the_upstreams_form() -> None:
    schema = {
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "schema": schema}
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
    assert chat(output_config={"format": wanted})["response_format"] == form
    assert chat(output_format=wanted)["response_format"] == form
    loose = {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "object"}}}}
    assert chat(output_format=loose)["response_format"]["json_schema"]["strict"] is False
    by_words = chat(output_format=wanted, options=replace(PLAIN, structured="json_object"), system="S")
    assert by_words["response_format"] == {"type": "json_object"}
    assert by_words["messages"][0]["content"].endswith(json.dumps(schema))
    none = chat(output_format=wanted, options=replace(PLAIN, structured="none"))
    assert "response_format" not in none
    assert none["messages"][0]["content"].startswith("Answer with one JSON object")


def test_a_request_as_claude_code_sends_it() -> None:
    """Measured with 2.1.329 and 2.1.332: every field that its newest model name brings."""
    converted = chat(
        [
            {"role": "user", "content": [text("<system-reminder>\nx\n</system-reminder>"), text("Look.")]},
            {"role": "system", "content": "Today is Sunday."},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "Eq"}, use(path="/")]},
            {"role": "user", "content": [result(cache_control={"type": "ephemeral"})]},
            {"role": "system", "content": [text("Be brief.", cache_control={"type": "ephemeral", "ttl": "1h"})]},
        ],
        max_tokens=32_000,
        system=[
            text("x-anthropic-billing-header: cc_version=2.1.332; cc_entrypoint=cli;"),
            text("You are Claude Code.", cache_control={"type": "ephemeral", "ttl": "1h"}),
            text("Rules.", cache_control={"type": "ephemeral", "ttl": "1h"}),
        ],
        tools=[
            LS,
            {"name": "placeholder", "description": "d", "input_schema": {"type": "object"}, "defer_loading": True},
        ],
        metadata={"user_id": json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s"})},
        thinking={"type": "adaptive", "display": "omitted"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        output_config={"effort": "medium"},
        safeguards=[{"type": "dangerous_tool_use", "classifier_context": {"home_dir": "/home/alice"}}],
        stream=True,
        options=FULL,
    )
    assert [message["role"] for message in converted["messages"]] == ["developer", "user", "assistant", "tool", "user"]
    assert converted["messages"][0]["content"] == "You are Claude Code.\n\nRules."
    assert converted["messages"][-1]["content"] == "<system-reminder>\nBe brief.\n</system-reminder>"
    assert converted["reasoning_effort"] == "medium"
    assert len(converted["tools"]) == 2
    for word in ("alice", "cache_control", "device_id", "cc_version", "placeholder_", "Eq"):
        assert word not in json.dumps(converted)


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = {"a": [value]}
    return value


def test_no_depth_of_json_breaks_it() -> None:
    deep = nested(50_000)
    call = {**use(), "input": {"a": deep}}
    searched = {"type": "server_tool_use", "name": deep, "input": deep}
    found = {"type": "web_search_tool_result", "content": deep}
    assert refused([*HI, {"role": "assistant", "content": [call]}]).reason == "too_deep"
    words = to_chat(body([*HI, {"role": "assistant", "content": [searched, found]}]), model="up", options=PLAIN)
    assert words["messages"][1]["content"] == "[Called the tool without a name: …]\n\n[Result of web_search]"
    format_ = {"type": "json_schema", "schema": {"a": deep}}
    assert refused(output_format=format_, options=replace(PLAIN, structured="none")).reason == "too_deep"
    to_chat(
        body(tools=[{"name": "a", "strict": True, "input_schema": {"a": deep}}], output_format=format_),
        model="up",
        options=PLAIN,
    )
    for name in ("system", "metadata", "thinking", "tools", "stop_sequences", "tool_choice", "container"):
        with pytest.raises(CannotConvertError):
            to_chat(body(**{name: [deep]}), model="up", options=PLAIN)
    while isinstance(deep, dict):  # or the interpreter would end in freeing it
        deep = deep.pop("a").pop()
