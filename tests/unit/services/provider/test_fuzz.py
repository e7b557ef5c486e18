"""No body breaks the provider: if any part of a full request is removed or changed, it answers or refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tollgate.services.provider import operations
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.delivery import Delivery, Stream
from tollgate.services.provider.exchange import Exchange
from tollgate.services.provider.recorder import Recorder

SCHEMA = {
    "type": "object",
    "properties": {
        "list": {"type": "array", "items": {"type": "integer", "minimum": 2, "multipleOf": 2}, "minItems": 2},
        "text": {"allOf": [{"type": "string"}], "minLength": 2, "maxLength": 9, "pattern": "^a"},
        "either": {"anyOf": [{"$ref": "#/$defs/size"}, {"type": "null"}]},
        "pick": {"enum": ["a", "b"], "default": None},
    },
    "required": ["list", "text", "either", "pick"],
    "$defs": {"size": {"type": "number", "exclusiveMinimum": 3, "maximum": 4}},
}
CACHE = {"type": "ephemeral", "ttl": "1h"}
MESSAGES: dict[str, Any] = {
    "model": "m+tokens=9",
    "max_tokens": 3000,
    "system": [{"type": "text", "text": "rules", "cache_control": CACHE}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi [[tps=100]]"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://example.test/"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "4"}]},
                {"type": "document", "source": {}, "cache_control": CACHE},
            ],
        },
        {"role": "system", "content": "be kind"},
    ],
    "tools": [
        {"name": "f", "description": "d", "input_schema": SCHEMA, "cache_control": CACHE},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "omitted"},
    "output_config": {"effort": "medium", "format": {"type": "json_schema", "schema": SCHEMA}},
    "stop_sequences": ["x"],
    "temperature": 1,
    "stream": True,
    "metadata": {"user_id": "u"},
}
CHAT: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "rules"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "stream": True,
    "stream_options": {"include_usage": True},
    "max_completion_tokens": 900,
    "stop": ["x"],
    "n": 1,
}


def without(body: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


REQUESTS = {
    "messages": ("/v1/messages", MESSAGES),
    "messages, text": ("/v1/messages", without(MESSAGES, "tools", "tool_choice", "stream")),
    "messages, json": ("/v1/messages", without(MESSAGES, "tool_choice")),
    "count_tokens": ("/v1/messages/count_tokens", without(MESSAGES, "max_tokens")),
    "chat": ("/v1/chat/completions", CHAT),
    "chat, json": ("/v1/chat/completions", without(CHAT, "tool_choice", "stream", "stream_options")),
    "embeddings": (
        "/v1/embeddings",
        {"model": "m", "input": ["a", [1, 2]], "dimensions": 8, "encoding_format": "float"},
    ),
}
JUNK = [
    None,
    True,
    -1,
    0,
    1,
    2.5,
    10**30,
    "",
    "x",
    "tool",
    "text",
    [],
    [None],
    ["x"],
    [[]],
    {},
    {"type": "text"},
    {"x": 1},
]
GONE = object()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every part of a JSON value, as the keys that lead to it."""
    if path:
        yield path
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield from places(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], junk: Any) -> Any:
    """`value` with one part replaced or gone. It copies only the way to that part."""
    key, *rest = path
    value = copy.copy(value)
    if rest:
        value[key] = changed(value[key], tuple(rest), junk)
    elif junk is GONE:
        del value[key]
    else:
        value[key] = junk
    return value


def outcome(route: str, body: dict[str, Any]) -> str:
    """`answered` or `refused`. Any other exception would be a 500 for the client."""
    entry = Recorder().open("POST", route, "", [])
    exchange = Exchange(operations.api_of(route, {}), entry, {}, json.dumps(body).encode(), "id", under_test=True)
    try:
        delivery = operations.find("POST", route)(exchange)
    except ApiError as refusal:
        json.dumps(exchange.api.envelope(refusal, "req_1"))
        return "refused"
    assert isinstance(delivery, Delivery)
    if isinstance(delivery, Stream):
        assert sum(frame.tokens for frame in delivery.frames) == delivery.tokens
    return "answered"


@pytest.mark.parametrize("name", REQUESTS)
def test_a_body_with_one_part_wrong_is_answered_or_refused(name: str) -> None:
    route, body = REQUESTS[name]
    assert outcome(route, body) == "answered"
    seen = set()
    broken = []
    for path in places(body):
        for junk in (*JUNK, GONE):
            try:
                seen.add(outcome(route, changed(body, path, junk)))
            except Exception as error:  # noqa: BLE001  # the report lists every kind of error
                broken.append(f"{path} = {junk!r}: {type(error).__name__}: {error}")
    assert not broken, "\n".join(broken)
    assert seen == {"answered", "refused"}
