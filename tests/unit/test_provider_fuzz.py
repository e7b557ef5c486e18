"""No body breaks the provider: whatever arrives as JSON is answered or refused."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tollgate.services.provider import operations
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.delivery import Delivery, Stream
from tollgate.services.provider.exchange import Exchange
from tollgate.services.provider.recorder import Recorder

# Bodies that look like requests but hold anything at all.
NAMES = [
    *("model", "messages", "max_tokens", "stream", "system", "tools", "tool_choice", "role", "content", "type", "text"),
    *("source", "media_type", "data", "url", "name", "input", "id", "tool_use_id", "input_schema", "parameters"),
    *("function", "arguments", "tool_calls", "tool_call_id", "image_url", "thinking", "budget_tokens", "stop"),
    *("stop_sequences", "response_format", "json_schema", "schema", "output_config", "format", "dimensions"),
    *("properties", "required", "items", "cache_control", "stream_options", "encoding_format", "temperature", "n"),
]
WORDS = [
    *("user", "assistant", "system", "tool", "text", "image", "tool_use", "tool_result", "thinking", "enabled"),
    *("adaptive", "function", "image_url", "base64", "url", "auto", "any", "required", "none", "json_schema", "array"),
    *("image/png", "AAAA", "object", "hi", "", "float"),
]
anything = st.recursive(
    st.sampled_from(WORDS) | st.none() | st.booleans() | st.integers(-2, 3000) | st.floats(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=15,
)
roles = st.sampled_from(["user", "assistant", "system", "tool"])
blocks = st.fixed_dictionaries(
    {"type": st.sampled_from(WORDS)},
    optional={name: anything for name in NAMES if name != "type"},
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": roles, "content": st.just("hi") | anything | st.lists(blocks, max_size=3)},
        optional={"tool_calls": anything, "tool_call_id": anything},
    ),
    max_size=4,
)
tools = st.lists(
    st.fixed_dictionaries(
        {"name": st.just("f"), "input_schema": anything, "function": st.fixed_dictionaries({"name": st.just("f")})},
        optional={"type": anything},
    ),
    max_size=2,
)
shaped = {
    "model": st.just("m") | anything,
    "messages": messages | anything,
    "max_tokens": st.just(2000) | anything,
    "tools": tools | anything,
}
bodies = st.fixed_dictionaries(shaped, optional={name: anything for name in NAMES if name not in shaped})


@settings(deadline=None, max_examples=500)
@given(st.sampled_from([path for path, methods in operations.ROUTES.items() if "POST" in methods]), bodies)
def test_any_body_is_answered_or_refused(path: str, body: dict[str, object]) -> None:
    entry = Recorder().open("POST", path, "", [])
    exchange = Exchange(operations.api_of(path, {}), entry, {}, json.dumps(body).encode(), "id")
    try:
        made = operations.find("POST", path)(exchange)
    except ApiError as refusal:
        json.dumps(exchange.api.envelope(refusal, "req_1"))
        return
    assert isinstance(made, Delivery)
    if isinstance(made, Stream):
        assert sum(frame.tokens for frame in made.frames) == made.tokens
