"""On LiteLLM's route no model gets a field with a surcharge, and no fallback a tool without a price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_litellm import ProxyException, hook
from tests.support.surcharges import NAMES, SURCHARGES
from tests.unit.services.gateway.process import run
from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.replica.fallback_money import ask_budgets_for_fallbacks
from tollgate.services.requests import surcharges

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
CALLS = ("anthropic_messages", "acompletion", "atext_completion", "aembedding")
FALLBACK = "litellm.proxy.auth.fallback_budget"


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Any]:
    """The hook of a replica with `claude`, which gets Messages as they came, and `local`, which never does."""
    text = {"models": [], "max_body_bytes": 1, "translated": ["local"], "tool_prices": {"claude": {}}}
    (tmp_path / "requests.json").write_text(json.dumps(text))
    router = {"llm_router": type("Router", (), {"model_group_alias": {"big": "claude", "small": "local"}})}
    asks = type("RouterFallbackBudgetCheck", (), {"__call__": _yes})
    parts = {"litellm.proxy.proxy_server": router, FALLBACK: {"RouterFallbackBudgetCheck": asks}}
    with hook("paid_tools", tmp_path, parts) as module:
        ask_budgets_for_fallbacks()
        module.handler.asks = asks()
        yield module.handler


async def _yes(self: Any, *, model: str, request_kwargs: Any, llm_router: Any) -> bool:
    return True


async def _asks(replica: Any, model: str, call: str, **body: Any) -> Ongoing:
    """The request as the hook leaves it; `refusal` is set if it refused."""
    ongoing = Ongoing()
    CURRENT.set(ongoing)
    data = {"model": model, **body}
    try:
        assert await replica.async_pre_call_hook(None, None, data, call) == {"model": model, **body}
    except ProxyException:
        assert ongoing.refusal is not None
    return ongoing


async def _may_answer(replica: Any, model: str) -> bool:
    return bool(await replica.asks(model=model, request_kwargs={}, llm_router=None))


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("field", SURCHARGES, ids=NAMES)
def test_a_replica_refuses_the_field_with_the_same_words(replica: Any, field: dict[str, Any], call: str) -> None:
    async def test() -> None:
        for model in ("claude", "big", "nobody"):
            refusal = (await _asks(replica, model, call, **field)).refusal
            assert refusal is not None and (refusal.status, refusal.code) == (400, "invalid_request")
            assert surcharges.problem(field) in refusal.message
        for model in ("local", "small"):
            refused = (await _asks(replica, model, call, **field)).refusal is not None
            assert refused == (call != "anthropic_messages"), "without the field, as a gateway process translates it"

    run(test)


@pytest.mark.parametrize("call", CALLS)
def test_twin_at_base_price_a_replica_asks_the_model(replica: Any, call: str) -> None:
    async def test() -> None:
        for field in ({}, {"service_tier": "auto"}, {"speed": "standard"}, {"plugins": []}, {"next_weeks_field": {}}):
            assert (await _asks(replica, "claude", call, **field)).refusal is None

    run(test)


@pytest.mark.parametrize("field", [*SURCHARGES, {"tools": [SEARCH]}], ids=[*NAMES, "tool"])
def test_a_fallback_whose_price_does_not_cover_it_is_left_out(replica: Any, field: dict[str, Any]) -> None:
    async def test() -> None:
        assert (await _asks(replica, "local", "anthropic_messages", **field)).refusal is None
        assert not await _may_answer(replica, "claude") and not await _may_answer(replica, "big")
        assert await _may_answer(replica, "local")

    run(test)


def test_twin_other_fallbacks_are_asked_and_budgets_after_the_prices(replica: Any) -> None:
    async def test() -> None:
        ongoing = await _asks(replica, "local", "anthropic_messages", speed="standard")
        assert await _may_answer(replica, "claude")
        reserved: list[str] = []

        async def may_pay(name: str) -> bool:
            reserved.append(name)
            return False

        ongoing.may_pay = may_pay
        assert not await _may_answer(replica, "claude") and reserved == ["claude"]
        fast = await _asks(replica, "local", "anthropic_messages", speed="fast")
        fast.may_pay = may_pay
        assert not await _may_answer(replica, "claude") and reserved == ["claude"], "nothing is reserved for it"

    run(test)


def test_outside_of_a_request_litellms_own_answer_counts(replica: Any) -> None:
    CURRENT.set(None)  # type: ignore[arg-type]  as where no layer of ours is

    async def test() -> None:
        assert await _may_answer(replica, "claude")

    run(test)
