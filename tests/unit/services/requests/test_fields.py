"""The fields of a request: LiteLLM's options are refused by name, types are checked, unknown fields pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.requests import fields
from tollgate.services.requests.orders import NAMES, OWN, PREFIXES, is_order

KNOWN = {"test-model", "big"}


def body(**more: Any) -> dict[str, Any]:
    return {"model": "test-model", "max_tokens": 10, "messages": [{"role": "user", "content": "hi"}], **more}


# A request of Claude Code 2.1.332, with a field that a later version could add.
CLAUDE_CODE = body(
    system=[{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    tools=[{"name": "Bash", "input_schema": {"type": "object"}, "defer_loading": True}],
    metadata={"user_id": '{"device_id":"d","account_uuid":"","session_id":"s"}'},
    thinking={"type": "adaptive", "display": "omitted"},
    context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    output_config={"effort": "medium"},
    safeguards=[{"type": "dangerous_tool_use"}],
    stream=True,
    a_field_of_next_week={"anything": [1, None]},
)


@pytest.mark.parametrize(
    "wanted",
    [
        CLAUDE_CODE,
        body(user="alice", n=2, logprobs=True, stop=["a"], service_tier="auto", stream_options={"include_usage": True}),
        body(provider={"order": ["x"]}, top_k=5, min_p=0.1, chat_template_kwargs={}, guided_json={}),
        body(max_completion_tokens=None, stream=None, metadata=None, user=None),
        body(metadata={"user_id": "u", "session_id": "s", "team": "search", "nested": {"a": ["b"]}}),
    ],
)
def test_real_requests_pass(wanted: dict[str, Any]) -> None:
    assert fields.problem(wanted) == ""


@pytest.mark.parametrize(
    "name",
    [
        *(
            "no-log",
            "api_key",
            "api_base",
            "base_url",
            "timeout",
            "request_timeout",
            "disable_fallbacks",
            "num_retries",
        ),
        *("input_cost_per_token", "user_config", "model_list", "langfuse_host", "mock_response", "mock_timeout"),
        *("extra_headers", "extra_body", "headers", "callbacks", "litellm_metadata", "litellm_new_thing", "cache"),
        *("caching", "tags", "guardrails", "proxy_server_request", "fastest_response", "aws_access_key_id", "models"),
        *(
            "vertex_credentials",
            "azure_ad_token",
            "custom_llm_provider",
            "_litellm_x",
            "user_api_key_auth",
            "drop_params",
        ),
        *("output_cost_per_second", "max_retries", "cooldown_time", "prompt_id", "ssl_verify", "deployment_id"),
    ],
)
def test_a_litellm_option_is_refused_by_name(name: str) -> None:
    assert fields.problem(body(**{name: "x"})).startswith(f"{name}: ")


def test_no_field_of_an_api_counts_as_a_litellm_option() -> None:
    assert not [name for name in OWN if is_order(name)]
    assert not OWN & NAMES
    assert not [name for name in OWN if name.startswith(PREFIXES)]


def test_anthropics_own_fallbacks_are_removed_and_not_refused() -> None:
    wanted = body(fallbacks=[{"model": "claude-opus-5-5"}])
    assert fields.problem(wanted) == ""
    assert fields.taken_out(wanted) == body()


MODELS: list[Any] = [
    *(None, 5, True, [], {}, ["test-model"], "", " ", "test-model,test-model", "a,b", "x" * 101, "test-model\x00"),
    *("test\nmodel", "x" * 5_000_000, "\u202etest-model", "test-model\x1b[31m"),
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: repr(model)[:30])
def test_a_model_must_be_one_name(model: Any) -> None:
    assert fields.problem(body(model=model)).startswith("model: expected")


def test_only_names_of_the_catalogue_are_known() -> None:
    def unknown(model: str, claude_code: bool = False) -> str | None:
        return fields.unknown_model(body(model=model), KNOWN, claude_code=claude_code)

    packed = f"claude-router-{b'test-model'.hex()}"
    assert unknown("big") is None
    assert unknown("test-model:embedded") == "test-model:embedded", "the id of a target"
    assert unknown("Test-Model") == "Test-Model"
    assert unknown("test-model ") == "test-model "
    assert unknown("test-model[1m]", claude_code=True) is None
    assert unknown(packed, claude_code=True) is None
    assert unknown(packed) == packed
    assert unknown("claude-router-zz", claude_code=True) == "claude-router-zz"


NUMBERS: list[Any] = [0, -1, -100_000, 1.5, 2000.0, "2000", True, [], {}, 10**10, 10**30, float("nan")]


@pytest.mark.parametrize("value", NUMBERS, ids=repr)
@pytest.mark.parametrize("name", [*fields.OUTPUT, *fields.ANSWERS])
def test_fields_that_ask_for_output_must_be_whole_numbers(name: str, value: Any) -> None:
    assert fields.problem(body(**{name: value})).startswith(f"{name}: expected a whole number")


@pytest.mark.parametrize("outer,inner", fields.OUTPUT_INSIDE)
def test_the_same_is_true_inside_objects(outer: str, inner: str) -> None:
    wrong = fields.problem(body(**{outer: {inner: -5}}))
    assert wrong.startswith((f"{outer}.{inner}: expected", f"{outer}: this gateway"))


@given(st.lists(st.tuples(st.sampled_from(fields.OUTPUT), st.integers(1, 10**9)), max_size=5))
def test_the_largest_output_field_is_reserved(asked: list[tuple[str, int]]) -> None:
    numbers = dict(asked)
    assert fields.largest_output(numbers) == (max(numbers.values()) if numbers else None)


def test_a_thinking_budget_counts_as_output() -> None:
    assert fields.largest_output({"max_tokens": 10, "thinking": {"budget_tokens": 5000}}) == 5000


@pytest.mark.parametrize("name", fields.BOOLEANS)
@pytest.mark.parametrize("value", ["yes", "true", 1, [], {}])
def test_boolean_fields_must_be_booleans(name: str, value: Any) -> None:
    assert fields.problem(body(**{name: value})) == f"{name}: expected true or false"


def test_logprobs_is_a_number_in_openais_older_api() -> None:
    assert fields.problem({"model": "m", "prompt": "x", "logprobs": 3}, completions=True) == ""


@pytest.mark.parametrize("value", ["x" * 5_000_000, "a\x00b", 5, ["x"], {}], ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", fields.IDS)
def test_ids_must_be_short_texts_without_nul(name: str, value: Any) -> None:
    assert fields.problem(body(**{name: value})).startswith(f"{name}: expected")


METADATA: list[Any] = [
    *("text", [], {"user_id": 5}, {"user_id": "x" * 3000}, {"user_id": "a\x00"}, {"session_id": "x" * 5_000_000}),
    *({"session_id": "a\x00"}, {"spend_logs_metadata": {"a": "b"}}, {"tags": ["x"]}, {"user_api_key_team_id": "x"}),
    *(
        {"_pipeline": 1},
        {"headers": {}},
        {"guardrails": []},
        {"model_info": {"id": "x"}},
        {"a\x00": "b"},
        {"x" * 200: 1},
    ),
    *({"deep": {"er": ["a\x00"]}}, {"n": [1] * 5000}, {f"f{number}": "x" for number in range(65)}),
]


@pytest.mark.parametrize("metadata", METADATA, ids=lambda metadata: repr(metadata)[:30])
def test_metadata_must_be_small_and_without_litellm_options(metadata: Any) -> None:
    assert fields.problem(body(metadata=metadata)).startswith("metadata")


@pytest.mark.parametrize("value", [None, 5, "text", [], [1], True])
def test_a_body_must_be_an_object(value: Any) -> None:
    assert fields.problem(value) == "the body: expected a JSON object"


def test_a_message_quotes_no_long_or_unprintable_text() -> None:
    message = fields.problem(body(**{"x\x1b[31m" * 100: 1}))
    assert len(message) < 200
    assert message.isprintable()
