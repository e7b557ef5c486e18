"""The body for the upstream: another model's name, every other value as the guard checked it."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from tollgate.services.gateway.body import encoded, with_model, without_our_thinking

NAMES = some.text(max_size=6) | some.just("model")
JSON = some.recursive(
    some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.text(max_size=6),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(some.dictionaries(NAMES, JSON, max_size=5), some.text(min_size=1, max_size=6), some.text(min_size=1, max_size=6))
def test_only_the_model_changes_and_the_order_stays(fields: dict[str, Any], asked: str, upstream: str) -> None:
    parsed = {**fields, "model": asked}
    sent = orjson.loads(with_model(parsed, upstream))
    assert sent == {**parsed, "model": upstream}
    assert list(sent) == list(parsed)


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"cheap","messages":[],"model":"dear"}',
        b'{"model":"cheap","messages":[],"\\u006dodel":"dear"}',
        b'{"messages":[],"mod\\u0065l":"dear","model":"cheap"}',
        b'{"tools":[{"model":"dear"}],"model":"cheap"}',
        b'{"max_tokens":100000,"model":"cheap","max_tokens":5}',
    ],
)
def test_no_second_field_of_a_name_reaches_the_upstream(body: bytes) -> None:
    """Of two fields with one name a server may take either. So the upstream gets the one that was checked."""
    pairs = json.loads(with_model(orjson.loads(body), "upstream"), object_pairs_hook=list)
    assert [value for name, value in pairs if name == "model"] == ["upstream"]
    assert [value for name, value in pairs if name == "max_tokens"] in ([], [5])


@pytest.mark.parametrize("value", [2**70, "\ud800", {"deep": ["\udfff", 2**64]}, 1.5, "\u00fc"])
def test_what_orjson_refuses_is_encoded_all_the_same(value: Any) -> None:
    assert json.loads(encoded({"value": value})) == {"value": value}


OURS, THEIRS = "tollgate.W10=", "EqQBCgIYAhIkYmFzZTY0"


def talk(*content: Any) -> dict[str, Any]:
    question = {"role": "user", "content": "hello"}
    return {"model": "m", "messages": [question, {"role": "assistant", "content": list(content)}, question]}


THINKING = {"type": "thinking", "thinking": "hm", "signature": OURS}
REDACTED = {"type": "redacted_thinking", "data": OURS}
TEXT = {"type": "text", "text": OURS}
NATIVE = {"type": "thinking", "thinking": "hm", "signature": THEIRS}


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ([THINKING, TEXT], [TEXT]),
        ([REDACTED, NATIVE, TEXT], [NATIVE, TEXT]),
        ([NATIVE, TEXT], [NATIVE, TEXT]),
        ([TEXT, {"type": "tool_use", "id": "x", "name": "y", "input": {"signature": OURS}}], None),
    ],
)
def test_only_thinking_with_our_signature_is_left_out(content: list[Any], left: list[Any] | None) -> None:
    parsed = talk(*content)
    before = json.dumps(parsed)
    sent = without_our_thinking(before.encode(), parsed)
    assert sent["messages"][1]["content"] == (content if left is None else left)
    assert json.dumps(parsed) == before


def test_a_turn_that_was_only_our_thinking_leaves_no_message() -> None:
    parsed = talk(THINKING, REDACTED)
    assert (
        without_our_thinking(json.dumps(parsed).encode(), parsed)["messages"]
        == [{"role": "user", "content": "hello"}] * 2
    )


@pytest.mark.parametrize("messages", [None, "tollgate.", [1, "x", None], [{"role": "user"}]])
def test_malformed_messages_pass_for_the_upstream_to_refuse(messages: Any) -> None:
    parsed = {"model": "tollgate.", "messages": messages}
    assert without_our_thinking(b"tollgate.", parsed) == parsed
