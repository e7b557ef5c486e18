"""Requests that try to pay less, reach more, or break something. None of them gets past the gateway process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, Answer, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import (
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
CHAT = "/v1/chat/completions"


def refused(tmp_path: Path, status: int, path: str = "/v1/messages", named: str = "", **more: Any) -> None:
    """The request is refused with `status`; no provider is asked, nothing is booked."""

    async def test() -> None:
        async with (
            upstream(WHOLE) as one,
            process(tmp_path, catalogue(model(messages(one)), model(chat(one), name="gpt"))) as gateway,
        ):
            answer = await gateway.ask(path, **more)
            assert answer.status == status, answer.text
            assert named in answer.told[2]
            assert not one.asked and not gateway.litellm.asked
            assert not gateway.booked() and not gateway.journal.running
            assert b"nobody" not in gateway.metrics.text()

    run(test)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "sonnet,sonnet"),
        (400, ["sonnet", "sonnet"]),
        (400, {"name": "sonnet"}),
        (400, None),
        (400, ""),
        (400, "x" * 101),
        (400, "x" * 1_000_000),
        (400, "sonnet\u0000"),
        (403, "nobody-has-this"),
        (403, "sonnet:one"),
        (403, "one"),
        (403, "one-upstream"),
        (403, "anthropic/one-upstream"),
        (403, "SONNET"),
        (403, " sonnet"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", CHAT])
def test_a_model_is_exactly_one_known_name(tmp_path: Path, path: str, status: int, name: Any) -> None:
    refused(tmp_path, status, path, model=name)


@pytest.mark.parametrize("path", ["/v1/messages", CHAT])
@pytest.mark.parametrize(
    "fields",
    [
        {"max_tokens": 2000, "max_completion_tokens": -100_000},
        {"max_tokens": 0},
        {"max_tokens": 1.5},
        {"max_tokens": "60"},
        {"max_tokens": True},
        {"max_tokens": 10**12},
        {"n_predict": -1},
        {"n": 0},
        {"n": 10**6},
        {"best_of": -1},
        {"thinking": {"type": "enabled", "budget_tokens": -5}},
        {"stream": "yes"},
        {"user": "x" * 500_000},
        {"user": "a\u0000b"},
        {"metadata": {"session_id": "x" * 500_000}},
        {"metadata": {"session_id": "a\u0000b"}},
        {"metadata": {"spend_logs_metadata": {"a": "b"}}},
    ],
)
def test_fields_that_cheat_a_budget_or_a_writer_are_a_400(tmp_path: Path, path: str, fields: dict[str, Any]) -> None:
    refused(tmp_path, 400, path, **fields)


@pytest.mark.parametrize(
    "field",
    [
        *("api_key", "timeout", "request_timeout", "disable_fallbacks", "no-log", "mock_response", "api_base"),
        *("base_url", "input_cost_per_token", "user_config", "model_list", "langfuse_host", "litellm_params", "models"),
    ],
)
def test_orders_for_litellm_are_refused_by_name(tmp_path: Path, field: str) -> None:
    refused(tmp_path, 400, named=field, **{field: "x"})


@pytest.mark.parametrize(
    ("path", "name", "field"),
    [
        ("/v1/messages", "sonnet", {"service_tier": "priority"}),
        ("/v1/messages", "sonnet", {"speed": "fast"}),
        (CHAT, "gpt", {"provider": {"order": ["dear"]}}),
        (CHAT, "gpt", {"web_search_options": {"a": 1}}),
    ],
)
def test_what_costs_more_than_the_price_is_refused(tmp_path: Path, path: str, name: str, field: Any) -> None:
    refused(tmp_path, 400, path, named=next(iter(field)), model=name, **field)


def test_twin_a_translated_request_leaves_out_fields_that_cost_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            assert (await gateway.ask(service_tier="priority", speed="fast")).status == 200
            assert not {"service_tier", "speed"} & one.asked[0].body.keys()

    run(test)
