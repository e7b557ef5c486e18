"""Prices: units, what is ambiguous, exact sums, and that they are the gateway's own."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client_package.gateway import KEY, Front
from tollgate.services.gateway.ledger import price as ledger
from tollgate.services.gateway.ledger import usage as booked
from tollgate_client import LiteLLMProvider
from tollgate_client.errors import ConfigurationError, GatewayConnectionError, UnknownModelError
from tollgate_client.messages import MessageUsage
from tollgate_client.models import Usage
from tollgate_client.prices import Price, Tokens, of_gateway, of_pricing

counts = st.integers(min_value=0, max_value=10_000_000)
amounts = st.decimals(min_value=0, max_value=900, places=9)


@pytest.mark.parametrize(
    "pricing",
    [
        {"input": 0.003, "output": 0.015},
        {"input": "0.003", "output": Decimal("0.015")},
        {"input_per_million": 3, "output_per_million": 15.0},
        {"unit": "USD per million tokens", "input": 3, "output": 15},
        {"unit": "USD per 1000 tokens", "input": 0.003, "output": 0.015},
    ],
)
def test_the_same_price_in_each_unit(pricing: dict[str, Any]) -> None:
    price = of_pricing("m", pricing)
    assert (price.input, price.output, price.cache_read, price.cache_write_1h) == (3, 15, 3, 3)
    assert price.cost(Tokens(1000, 500)) == Decimal("0.0105")


@pytest.mark.parametrize(
    ("pricing", "words"),
    [
        ({"input": 3, "output": 15}, "input_per_million"),
        ({"input": 0.003, "output_per_million": 15}, "in one unit"),
        ({"input": 0.003}, "a price for output"),
        ({}, "a price for input"),
        ({"prompt": 1, "input": 0, "output": 0}, "'prompt'"),
        ({"input": -1, "output": 0}, "0 or more"),
        ({"input": float("nan"), "output": 0}, "0 or more"),
        ({"input": True, "output": 0}, "found bool"),
        ({"input": "3 USD", "output": 0}, "'3 USD'"),
        ({"unit": "cents", "input": 0, "output": 0}, "'cents'"),
        ({"unit": "USD per 1000 tokens", "input_per_million": 1, "output_per_million": 1}, "contradicts"),
    ],
)
def test_what_could_mean_two_things_is_refused(pricing: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        of_pricing("m", pricing)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        of_pricing("m", {"prompt": 1, "unit": "cents", "output": -1})
    assert len(str(caught.value).splitlines()) == 4


@given(prices=st.tuples(amounts, amounts, amounts, amounts, amounts), tokens=st.tuples(*[counts] * 5))
def test_a_cost_is_what_the_gateways_ledger_books(prices: tuple[Decimal, ...], tokens: tuple[int, ...]) -> None:
    own = Price(*prices).cost(Tokens(*tokens))
    a_token = [f"{price.scaleb(-6):f}" for price in prices]
    theirs = ledger.Prices.of(dict(zip(ledger.Prices.__slots__, a_token, strict=True)))
    assert own == ledger.usd(ledger.cost(booked.Usage(*tokens), theirs))


@pytest.mark.parametrize(
    "stated",
    [
        {"prompt_tokens": 100, "completion_tokens": 5},
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 40}},
        {
            "prompt_tokens": 100,
            "completion_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30},
        },
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cache_creation_tokens": 30}},
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 101}},
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": -4}},
        {"prompt_tokens": 100, "completion_tokens": 5, "prompt_tokens_details": None, "cached_tokens": None},
    ],
)
def test_tokens_of_a_chat_answer_are_read_as_the_gateway_reads_them(stated: dict[str, Any]) -> None:
    own, theirs = Usage.model_validate(stated).tokens(), booked.openai(stated, booked.Estimate())
    assert vars(own) == {name: getattr(theirs, name) for name in vars(own)}


@pytest.mark.parametrize(
    "stated",
    [
        {"input_tokens": 10, "output_tokens": 5},
        {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 7, "cache_creation_input_tokens": 9},
        {
            "input_tokens": 10,
            "output_tokens": 5,
            "cache_creation_input_tokens": 9,
            "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 4},
        },
        {"input_tokens": 10, "output_tokens": 5, "cache_creation": {"ephemeral_1h_input_tokens": 4}},
    ],
)
def test_tokens_of_a_message_are_read_as_the_gateway_reads_them(stated: dict[str, Any]) -> None:
    own, theirs = MessageUsage.model_validate(stated).tokens(), booked.anthropic(stated, booked.Estimate())
    assert vars(own) == {name: getattr(theirs, name) for name in vars(own)}


def test_cached_tokens_have_their_own_price(gateway: Front) -> None:
    with_prices = LiteLLMProvider(gateway.url, KEY)
    cost = with_prices.calculate_cost(1000, 10, "test-model", cached_tokens=600, cache_write_tokens=300)
    assert cost == (100 + 60 + 375 + 50) / Decimal(1_000_000)
    with pytest.raises(ConfigurationError, match="cached tokens"):
        with_prices.calculate_cost(10, 10, "test-model", cached_tokens=11)
    with pytest.raises(ConfigurationError, match="0 or more"):
        with_prices.calculate_cost(-1, 10, "test-model")


def test_a_unit_that_is_not_known_is_no_price() -> None:
    assert of_gateway({"unit": "USD per thousand tokens", "input": "1", "output": "1"}) is None
    assert of_gateway({"unit": "USD per million tokens", "input": "1"}) is None
    assert of_gateway(None) is None


# ---- custom models


CUSTOM = {
    "gpt-4": {
        "pricing": {"input": 0.03, "output": 0.06},
        "rate_limits": {"requests_per_minute": 20, "tokens_per_minute": 20000},
        "metadata": {"context_window": 8192, "provider": "openai"},
    }
}


def test_custom_models_work_without_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LITELLM_BASE_URL", raising=False)
    provider = LiteLLMProvider(custom_models=CUSTOM)
    provider.add_custom_model(
        model_name="custom-llama-7b",
        pricing={"input": 0.0001, "output": 0.0002},
        rate_limits={"requests_per_minute": 200, "tokens_per_minute": 200000},
        metadata={"provider": "ollama", "context_window": 4096, "task_types": ["general", "code"]},
    )
    assert provider.get_supported_models() == ["custom-llama-7b", "gpt-4"]
    costs = {model: provider.calculate_cost(1000, 500, model) for model in provider.get_supported_models()}
    assert costs == {"custom-llama-7b": Decimal("0.0002"), "gpt-4": Decimal("0.06")}
    assert f"${costs['gpt-4']:.6f}" == "$0.060000"
    info = provider.get_model_info("custom-llama-7b")
    assert (info.context_tokens, info.source, info.metadata["provider"]) == (4096, "custom", "ollama")
    assert info.rate_limits.requests_per_minute == 200
    with pytest.raises(UnknownModelError):
        provider.calculate_cost(1, 1, "other")


def test_a_custom_model_overrides_only_what_it_says(gateway: Front) -> None:
    provider = LiteLLMProvider(gateway.url, KEY, {"test-model": {"metadata": {"tier": "large"}}})
    info = provider.get_model_info("test-model")
    assert info.tier == "large" and info.price is not None and info.price.input == 1 and info.context_tokens == 200000
    provider.add_custom_model("test-model", {"input_per_million": 7, "output_per_million": 7})
    assert provider.calculate_cost(1_000_000, 0, "test-model") == 7


def test_a_gateway_that_goes_away_leaves_what_is_known() -> None:
    alone = LiteLLMProvider("http://127.0.0.1:9", KEY)
    with pytest.raises(GatewayConnectionError):
        alone.get_supported_models()
    assert LiteLLMProvider("http://127.0.0.1:9", KEY, CUSTOM).get_supported_models() == ["gpt-4"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"rate_limits": {"rpm": 3}}, "rpm"),
        ({"rate_limits": {"requests_per_minute": 0}}, "whole numbers from 1"),
        ({"metadata": {"tier": "huge"}}, "'huge'"),
    ],
)
def test_a_custom_model_that_cannot_be_meant_is_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LiteLLMProvider(custom_models={"m": more})


# ---- odd numbers


@pytest.mark.parametrize("price", ["1e999999", "1e13", "-0.1", "sNaN", "Infinity", "", "0x1"])
def test_a_price_that_nobody_can_mean_is_refused(price: str) -> None:
    with pytest.raises(ConfigurationError, match="input_per_million"):
        of_pricing("m", {"input_per_million": price, "output_per_million": 1})


@pytest.mark.parametrize(
    ("tokens", "more", "words"),
    [
        (("5", 1), {}, "whole numbers"),
        ((1.5, 1), {}, "whole numbers"),
        ((True, 1), {}, "whole numbers"),
        ((1000, 0), {"cache_write_1h_tokens": 500}, "cache_write_tokens contains"),
    ],
)
def test_tokens_that_cannot_be_meant_are_refused(tokens: Any, more: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LiteLLMProvider("", custom_models=CUSTOM).calculate_cost(*tokens, "gpt-4", **more)


def test_the_decimal_context_of_a_program_changes_no_cost() -> None:
    price, tokens = Price(*[Decimal("3.123456")] * 5), Tokens(123_457, 7)
    with localcontext(prec=3):
        rounded = price.cost(tokens)
    assert rounded == price.cost(tokens) == Decimal("0.385634372")
