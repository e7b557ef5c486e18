"""Properties of every conversion: nothing but CannotConvertError, a valid chat request, and prefixes that stay."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.chat_requests import problems
from tollgate.services.gateway.convert import refusal
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError
from tollgate.services.gateway.convert.request import to_chat
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.requests.estimate import input_tokens

CACHE = {"type": "ephemeral", "ttl": "1h"}
WORDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
OPTIONS = st.builds(
    Options,
    max_tokens_field=st.sampled_from(["max_tokens", "max_completion_tokens"]),
    system_role=st.sampled_from(["system", "developer"]),
    reasoning=st.sampled_from(["none", "reasoning_effort", "openrouter"]),
    reasoning_history=st.sampled_from(["none", "reasoning", "reasoning_content", "reasoning_details", "extra_content"]),
    images=st.booleans(),
    documents=st.booleans(),
    document_urls=st.booleans(),
    parallel_tool_calls=st.booleans(),
    stream_options=st.booleans(),
    structured=st.sampled_from(["json_schema", "json_object", "none"]),
    sampling=st.booleans(),
    top_k=st.booleans(),
    user=st.booleans(),
    stop_limit=st.integers(0, 5),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
# Words of the API, so that broken requests are broken deep inside.
ODD = JSON | st.sampled_from(
    [
        *("text", "image", "tool_use", "tool_result", "user", "assistant", "system", "base64", "url", "tool", "any"),
        *({}, [], [{}], True, -1, {"type": "text"}, {"type": "tool_use"}, {"type": "document", "source": {}}),
    ]
)


def texts() -> st.SearchStrategy[dict[str, Any]]:
    return WORDS.map(lambda words: {"type": "text", "text": words})


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
USERS = st.one_of(
    texts(),
    st.just(IMAGE),
    WORDS.map(lambda words: {"type": "document", "title": words, "source": {"type": "text", "data": words}}),
    WORDS.map(lambda words: {"type": "search_result", "title": words, "source": "s", "content": []}),
)
ASSISTANTS = st.one_of(
    texts(),
    WORDS.map(lambda words: {"type": "thinking", "thinking": words, "signature": "tollgate."}),
    st.just({"type": "redacted_thinking", "data": "x"}),
    WORDS.map(lambda words: {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": words}}),
    st.just({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}),
)


@st.composite
def exchanges(draw: st.DrawFn) -> list[list[dict[str, Any]]]:
    """Steps of a conversation: each is what a client adds for its next request. The first has only a user's turn."""
    steps = []
    calls: list[str] = []
    for number in range(draw(st.integers(1, 5))):
        added = []
        if number:
            calls = [f"t{number}_{place}" for place in range(draw(st.integers(0, 3)))]
            blocks = draw(st.lists(ASSISTANTS, max_size=3))
            uses = [{"type": "tool_use", "id": call, "name": "ls", "input": {"path": draw(WORDS)}} for call in calls]
            added.append({"role": "assistant", "content": [*blocks, *(uses or [draw(texts())])]})
        results = [
            {
                "type": "tool_result",
                "tool_use_id": call,
                "content": draw(st.lists(USERS, max_size=2)),
                "is_error": draw(st.booleans()),
            }
            for call in draw(st.permutations(calls))
        ]
        words = draw(st.lists(USERS, min_size=0 if results else 1, max_size=3))
        added.append({"role": "user", "content": [*results, *words]})
        if draw(st.booleans()):
            added.append({"role": "system", "content": [draw(texts())]})
        steps.append(added)
    return steps


def conversation(steps: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """As Claude Code sends it: the newest system message is a list with a breakpoint, the older ones are plain text."""
    messages = copy.deepcopy([message for step in steps for message in step])
    for message in messages[:-1]:
        if message["role"] == "system":
            message["content"] = message["content"][0]["text"]
    messages[-1]["content"][-1]["cache_control"] = CACHE
    return messages


def body(messages: list[Any], **more: Any) -> dict[str, Any]:
    tool = {"name": "ls", "input_schema": {"type": "object"}}
    return {"model": "claude", "max_tokens": 9, "system": "S", "tools": [tool], "messages": messages, **more}


def is_prefix(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    """Whether the text of the later request goes on where the text of the earlier one ends its list of messages."""
    return json.dumps(later).startswith(json.dumps(earlier).removesuffix("]}"))


@settings(max_examples=150, deadline=None)
@given(steps=exchanges(), options=OPTIONS)
def test_each_turn_is_the_beginning_of_the_next(steps: list[Any], options: Options) -> None:
    try:
        requests = [
            to_chat(body(conversation(steps[:count])), model="m", options=options) for count in range(1, len(steps) + 1)
        ]
    except CannotConvertError as refused:
        assert refused.reason == "image"
        return
    for earlier, later in itertools.pairwise(requests):
        assert is_prefix(earlier, later)


def test_a_prefix_that_moves_is_seen() -> None:
    """The twin of the test above: a breakpoint or a marker that stays in the messages would break it."""
    first = {"messages": [{"role": "user", "content": [{"text": "a", "cache_control": CACHE}]}]}
    second = {"messages": [{"role": "user", "content": [{"text": "a"}]}, {"role": "assistant", "content": "b"}]}
    assert not is_prefix(first, second)
    assert is_prefix({"messages": second["messages"][:1]}, second)


@settings(max_examples=200, deadline=None)
@given(steps=exchanges(), options=OPTIONS, ends=st.booleans())
def test_a_valid_request_becomes_a_valid_request(steps: list[Any], options: Options, ends: bool) -> None:
    messages = conversation(steps)
    if ends:
        messages.append({"role": "assistant", "content": "The answer is"})
    try:
        chat = to_chat(body(messages), model="m", options=options)
    except CannotConvertError as refused:
        assert refused.reason == "image" and not options.images
        return
    assert problems(chat) == []
    assert input_tokens(body(messages)) > 0


def test_the_check_of_chat_requests_sees_what_is_broken() -> None:
    """The twin of the test above."""

    def broken(*messages: Any) -> Any:
        try:
            return problems({"model": "m", "messages": [{"role": "user", "content": "a"}, *messages]})
        except ApiError as refused:
            return refused

    call = {"id": "t", "type": "function", "function": {"name": "ls", "arguments": "{}"}}
    answer = {"role": "tool", "tool_call_id": "t", "content": "x"}
    calling = {"role": "assistant", "content": None, "tool_calls": [call]}
    assert broken(calling, answer) == []
    for messages in (
        [calling],
        [answer],
        [calling, answer, answer],
        [calling, {**answer, "content": [IMAGE]}],
        [{"role": "user", "content": "b"}],
        [{"role": "assistant", "content": ""}],
        [{"role": "assistant", "content": None}],
        [{"role": "assistant", "content": "b"}, {"role": "system", "content": "c"}],
        [{"role": "assistant", "content": [{"type": "text", "text": ""}]}],
        [{"role": "critic", "content": "b"}],
    ):
        assert broken(*messages), messages


@st.composite
def broken_bodies(draw: st.DrawFn) -> Any:
    """A full request with up to three of its values, at any depth, replaced or gone."""
    given = body(
        conversation(draw(exchanges())),
        system=[{"type": "text", "text": "S", "cache_control": CACHE}],
        tool_choice={"type": "tool", "name": "ls", "disable_parallel_tool_use": True},
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        metadata={"user_id": "u"},
        stop_sequences=["a"],
        temperature=0.5,
        top_k=3,
        stream=True,
    )
    for _ in range(draw(st.integers(1, 3))):
        parent: Any = given
        while True:
            keys = list(parent) if isinstance(parent, dict) else list(range(len(parent)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(parent[key], dict | list) and parent[key] and draw(st.integers(0, 3)):
                parent = parent[key]
                continue
            if draw(st.booleans()):
                parent[key] = draw(ODD)
            else:
                del parent[key]
            break
    return given


def converts_or_refuses(given: Any, options: Options) -> None:
    try:
        chat = to_chat(given, model="m", options=options)
    except CannotConvertError as refused:
        assert refused.reason in refusal.Reason.__args__
        assert refused.sentence.isprintable() or "\n" not in refused.sentence
        assert len(refused.field) < 200
        return
    try:
        assert problems(chat) == []
    except ApiError as wrong:
        # The strict server also checks that base64 is base64, which costs a pass over megabytes and is the upstream's.
        assert "image" in str(wrong.message)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(given=broken_bodies(), options=OPTIONS)
def test_a_broken_request_is_converted_or_refused_and_breaks_nothing(given: Any, options: Options) -> None:
    converts_or_refuses(given, options)
    assert input_tokens(given) >= 0


@settings(max_examples=300, deadline=None)
@given(given=JSON | st.dictionaries(st.sampled_from(["messages", "system", "tools", "max_tokens"]), JSON))
def test_any_json_is_refused(given: Any) -> None:
    with pytest.raises(CannotConvertError):
        to_chat(given, model="m", options=Options())
    assert input_tokens(given) >= 0
