"""Routing: what a request needs, which model is asked, what it may cost, and what happens when a model has no room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tests.client_package.gateway import KEY, USAGE, Front, entry
from tests.contract.provider.cases import PNG
from tests.unit.services.gateway.process import run
from tollgate_client import ChatMessage, ContentPart, HeuristicRouter, LiteLLMProvider, Router, Tool
from tollgate_client.availability import Availability
from tollgate_client.errors import (
    BudgetSpentError,
    ConfigurationError,
    GatewayConnectionError,
    MaxCostError,
    NoModelError,
    OverloadedError,
)
from tollgate_client.model_info import RateLimits
from tollgate_client.models import ChatCompletion
from tollgate_client.prices import Price, Tokens
from tollgate_client.routing import money
from tollgate_client.tenant_usage import TenantUsage

HELLO = [ChatMessage(role="user", content="Say hello.")]
OVERLOADED = (503, {"x-should-retry": "false"}, {"message": "No room.", "type": "api_error", "code": "overloaded"})
BROKE = (
    429,
    {"x-should-retry": "false", "retry-after": "900"},
    {"message": "The budget is spent.", "type": "insufficient_quota", "code": "budget_exceeded"},
)


def user(text: Any) -> list[ChatMessage]:
    return [ChatMessage(role="user", content=text)]


def routing(gateway: Front, test: Callable[[Router, LiteLLMProvider], Awaitable[None]], **more: Any) -> None:
    async def inside() -> None:
        strategy = more.pop("strategy", None)
        async with LiteLLMProvider(gateway.url, KEY, max_retries=0, **more) as provider:
            await test(Router({"gateway": provider}, strategy), provider)

    run(inside)


# ---- which model


@pytest.mark.parametrize(
    ("text", "model", "why"),
    [
        ("Simple question", "small-model", "it is short and plain"),
        ("Write a Python function", "test-model", "it is about code"),
        ("Complex coding task", "large-model", "it asks for reasoning"),
        ("Prove this theorem", "large-model", "it asks for reasoning"),
        ("word " * 2000, "test-model", "it is long"),
    ],
)
def test_the_words_of_a_request_choose_the_tier(gateway: Front, text: str, model: str, why: str) -> None:
    provider = LiteLLMProvider(gateway.url, KEY)
    chosen = HeuristicRouter().select_model(messages=user(text), providers={"litellm": provider})
    assert chosen[:2] == ("litellm", model)
    assert why in chosen.reason
    assert chosen == HeuristicRouter().select_model(messages=user(text), providers={"litellm": provider})


@pytest.mark.parametrize(
    ("strategy", "quality", "model"),
    [
        ("cost_optimized", None, "small-model"),
        ("cost_optimized", "medium", "test-model"),
        ("cascade", None, "small-model"),
        ("cascade", "large", "large-model"),
        ("hybrid", None, "large-model"),
        ("heuristic", "small", "small-model"),
    ],
)
def test_each_strategy_and_quality(gateway: Front, strategy: str, quality: Any, model: str) -> None:
    provider = LiteLLMProvider(gateway.url, KEY)
    router = Router({"gateway": provider}, strategy)
    assert router.select_model(user("Prove this theorem"), quality=quality).model == model


def test_a_model_must_have_what_the_request_needs(gateway: Front) -> None:
    able = ["images", "tools"]
    gateway.models = [
        entry("blind", {"input": "0.1", "output": "0.1"}, capabilities=["tools"]),
        entry("handless", {"input": "0.1", "output": "0.1"}, capabilities=["images"]),
        entry("narrow", {"input": "0.1", "output": "0.1"}, context_tokens=100, capabilities=able),
        entry("able", {"input": "1", "output": "1"}, capabilities=able),
        entry("vectors", {"input": "0", "output": "0"}, mode="embedding"),
    ]
    router = Router({"gateway": LiteLLMProvider(gateway.url, KEY)}, "cost_optimized")
    image = user([ContentPart.of_image(f"data:image/png;base64,{PNG}"), ContentPart.of_text("What is it? " * 40)])
    assert router.select_model(image, tools=[Tool.of("f", {})]).model == "able"
    assert router.select_model(image).model == "handless"
    with pytest.raises(NoModelError) as caught:
        router.select_model(image, response_format={"type": "json_schema", "json_schema": {}})
    assert caught.value.reasons["gateway/blind"] == "it has no images, structured_output"
    assert "embedding" in caught.value.reasons["gateway/vectors"]


def test_providers_are_compared_and_the_order_does_not_matter(gateway: Front) -> None:
    cheap = {"cheaper": {"pricing": {"input_per_million": 0.01, "output_per_million": 0.01}}}
    one, two = LiteLLMProvider(gateway.url, KEY), LiteLLMProvider("", custom_models=cheap)
    for providers in ({"a": one, "b": two}, {"b": two, "a": one}):
        assert Router(providers, "cost_optimized").select_model(HELLO)[:2] == ("b", "cheaper")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategy": "best"}, "cost_optimized"),
        ({"quality": "huge"}, "small, medium, large"),
        ({"max_tokens": 0}, "from 1"),
        ({"max_cost": -1}, "max_cost"),
        ({"max_cost": "cheap"}, "'cheap'"),
        ({"max_cost": 1, "service_tier": "priority"}, "service_tier"),
        ({"max_cost": 1, "web_search_options": {"a": 1}}, "web_search_options"),
        ({"max_cost": 1, "web_search_options": {}}, "web_search_options"),
        ({"max_cost": 1, "tools": [{"type": "web_search"}]}, "the tool web_search"),
        ({"max_cost": 1, "n": 0}, "n as a whole number"),
        ({"providers": {}}, "providers"),
    ],
)
def test_what_cannot_be_promised_is_refused(gateway: Front, options: dict[str, Any], words: str) -> None:
    providers = {"gateway": LiteLLMProvider(gateway.url, KEY)}
    with pytest.raises(ConfigurationError, match=words):
        Router().select_model(HELLO, **{"providers": providers, **options})


# ---- money


def test_max_tokens_is_lowered_to_what_the_money_allows(gateway: Front) -> None:
    long = user("hello [[tokens=5000]]")

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(long, max_cost=0.001, strategy="cost_optimized", max_tokens=4000)
        [sent] = gateway.sent()
        assert 64 <= sent["max_tokens"] < 2000
        route = answer.route
        assert route.model == "small-model" and route.cost is not None and route.bound is not None
        assert route.cost <= route.bound <= Decimal("0.001")
        assert route.cost == provider.cost_of(answer, "small-model")
        assert answer.usage is not None and answer.usage.completion_tokens == sent["max_tokens"]

    routing(gateway, test)


def test_the_prompt_is_counted_only_where_a_byte_a_token_is_too_much(gateway: Front) -> None:
    text = "hello " * 500  # 3000 bytes, 750 tokens

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        await router.route_request(user(text), max_cost="0.01", max_tokens=100, quality="medium")
        assert "/v1/messages/count_tokens" not in gateway.paths
        with pytest.raises(MaxCostError):
            router.select_model(user(text), max_cost="0.002", max_tokens=100, quality="medium")
        answer = await router.route_request(user(text), max_cost="0.002", max_tokens=100, quality="medium")
        assert gateway.paths.count("/v1/messages/count_tokens") == 1
        assert answer.route.cost is not None and answer.route.cost <= Decimal("0.002")

    routing(gateway, test, strategy="cost_optimized")


def test_no_model_within_the_money_names_the_cheapest(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(MaxCostError, match="the cheapest is gateway/small-model") as caught:
            await router.route_request(HELLO, max_cost=0.00001)
        needed = caught.value.needed
        assert gateway.sent() == []
        answer = await router.route_request(HELLO, max_cost=needed, strategy="cost_optimized")
        assert answer.route.model == "small-model"
        assert answer.route.cost is not None and answer.route.cost <= needed

    routing(gateway, test)


@given(
    prices=st.tuples(*[st.decimals(min_value=0, max_value=200, places=4)] * 5),
    most_input=st.integers(0, 1_000_000),
    cache=st.booleans(),
    answers=st.integers(1, 4),
    asked=st.none() | st.integers(1, 100_000),
    most_output=st.none() | st.integers(1, 100_000),
    max_cost=st.decimals(min_value=0, max_value=20, places=6),
    share=st.integers(0, 1000),
)
def test_no_answer_costs_more_than_the_promise(
    prices: tuple[Decimal, ...],
    most_input: int,
    cache: bool,
    answers: int,
    asked: int | None,
    most_output: int | None,
    max_cost: Decimal,
    share: int,
) -> None:
    price = Price(*prices)
    room = money.room(price, most_input, cache, answers, asked, most_output, max_cost)
    if not room.fits:
        assert room.needed > max_cost
        return
    assert (room.bound is not None and room.needed <= room.bound <= max_cost) or room.max_tokens is None
    if room.max_tokens is None:
        return
    assert (asked is None or room.max_tokens <= asked) and (most_output is None or room.max_tokens <= most_output)
    part = most_input * share // 1000
    kinds = Tokens(most_input - part, answers * room.max_tokens, cache_write_1h=part)
    worst = price.cost(kinds if cache else Tokens(most_input, answers * room.max_tokens))
    assert worst <= max_cost


def test_reserved_is_more_than_counted() -> None:
    assert [money.reserved(count) for count in (0, 10, 1000)] == [64, 76, 1264]


# ---- going on


def test_cascade_goes_on_where_an_answer_does_not_pass(gateway: Front) -> None:
    def knows(answer: ChatCompletion) -> bool:
        return "large-model" in answer.text

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO, accept=knows, max_cost=1)
        route = answer.route
        assert [attempt.model for attempt in route.attempts] == ["small-model", "test-model", "large-model"]
        assert [attempt.problem for attempt in route.attempts] == ["your check refused it"] * 2 + [""]
        assert route.passed and route.model == "large-model"
        assert route.cost == sum(attempt.cost or 0 for attempt in route.attempts)
        assert route.bound is not None and route.cost <= route.bound <= 1

    routing(gateway, test, strategy="cascade")


def test_cascade_stops_at_the_first_answer_that_passes(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO)
        assert [attempt.model for attempt in answer.route.attempts] == ["small-model"]
        cut = await router.route_request(HELLO, max_tokens=3)
        assert [attempt.problem for attempt in cut.route.attempts] == ["it was cut by its length"] * 3
        assert not cut.route.passed and cut.choices[0].finish_reason == "length"

    routing(gateway, test, strategy="cascade")


def test_cascade_spends_no_more_than_the_money_for_all_its_attempts(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO, accept=lambda _: "no", max_cost="0.0016", max_tokens=200)
        assert [attempt.model for attempt in answer.route.attempts] == ["small-model", "test-model"]
        assert not answer.route.passed
        assert answer.route.cost is not None and answer.route.cost <= Decimal("0.0016")

    routing(gateway, test, strategy="cascade")


class Weather(BaseModel):
    city: str
    degrees: int


def test_an_answer_must_meet_its_schema(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO, schema=Weather)
        assert Weather.model_validate_json(answer.text)
        assert answer.route.passed and answer.route.model == "small-model"
        other = {"type": "json_object"}
        wrong = await router.route_request(HELLO, schema=Weather, response_format=other)
        assert not wrong.route.passed and "does not meet Weather" in wrong.route.attempts[0].problem

    routing(gateway, test, strategy="cascade")


def test_a_refusal_is_no_answer(gateway: Front) -> None:
    from tollgate_client.routing.checks import problem

    def answer(finish: str, **message: Any) -> ChatCompletion:
        return ChatCompletion.model_validate({"choices": [{"finish_reason": finish, "message": message}]})

    assert problem(answer("content_filter", content="x")) == "the model refused"
    assert problem(answer("stop", content=None, refusal="no")) == "the model refused"
    assert problem(answer("stop", content=" ")) == "it is empty"
    assert problem(answer("stop", content="x")) == ""
    assert problem(answer("tool_calls", tool_calls=[{"function": {"name": "f"}}])) == ""
    form = {"type": "json_schema", "json_schema": {"schema": {"type": "object", "required": ["city"]}}}
    assert problem(answer("stop", content="x"), form) == "it is not JSON"
    assert problem(answer("stop", content="{}"), form) == "it has no city"
    assert problem(answer("stop", content='{"city": 1}'), form) == ""
    assert problem(answer("stop", content="x"), accept=lambda _: "too short") == "too short"


def test_an_overloaded_model_is_replaced_and_then_rests(gateway: Front) -> None:
    gateway.refusals["small-model"] = OVERLOADED

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        answer = await router.route_request(HELLO, max_cost=1)
        assert [(one.model, one.problem) for one in answer.route.attempts] == [
            ("small-model", "OverloadedError"),
            ("test-model", ""),
        ]
        assert answer.route.cost == answer.route.attempts[1].cost
        assert "comes after gateway/small-model" in answer.route.reason
        assert (await router.route_request(HELLO)).route.attempts[0].model == "test-model"
        gateway.refusals |= {"test-model": OVERLOADED, "large-model": OVERLOADED}
        with pytest.raises(OverloadedError):
            await router.route_request(HELLO)

    routing(gateway, test, strategy="cost_optimized")


def test_twin_a_call_that_may_be_paid_is_not_asked_of_another_model(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(GatewayConnectionError):
            await router.route_request(user("hello [[drop]]"))
        assert [body["model"] for body in gateway.sent()] == ["small-model"]

    routing(gateway, test, strategy="cost_optimized")


def test_a_tenant_without_money_is_not_refused_model_by_model(gateway: Front) -> None:
    gateway.refusals = dict.fromkeys(("small-model", "test-model", "large-model"), BROKE)

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(BudgetSpentError):
            await router.route_request(HELLO)
        assert len(gateway.sent()) == 1

    routing(gateway, test, strategy="cost_optimized")


def test_a_model_without_money_is_replaced(gateway: Front) -> None:
    status, headers, error = BROKE
    gateway.refusals["small-model"] = (status, headers, {**error, "code": "model_budget_exceeded"})

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        assert (await router.route_request(HELLO)).route.model == "test-model"

    routing(gateway, test, strategy="cost_optimized")


def test_a_provider_that_is_away_leaves_the_others(gateway: Front) -> None:
    async def test() -> None:
        away = LiteLLMProvider("http://127.0.0.1:9", KEY, max_retries=0)
        async with LiteLLMProvider(gateway.url, KEY) as here:
            answer = await Router({"away": away, "here": here}).route_request(HELLO)
            assert answer.route.provider == "here"
        with pytest.raises(GatewayConnectionError):
            await Router({"away": away}).route_request(HELLO)

    run(test)


# ---- what is left


def test_rate_limits_of_custom_models_count_any_sixty_seconds() -> None:
    now = [100.0]
    rates, limits = Availability(lambda: now[0]), RateLimits(2, 1000)
    rates.asked("m")
    assert rates.why_not("m", limits) == ""
    rates.asked("m")
    assert "2 requests a minute" in rates.why_not("m", limits)
    now[0] += 60
    assert rates.why_not("m", limits) == ""
    rates.served("m", 1000)
    assert "1000 tokens a minute" in rates.why_not("m", limits)


def test_what_the_gateway_says_is_left_counts_until_it_opens_again() -> None:
    rates = Availability()
    rate = {**USAGE["rates"][0], "left": 0, "model": "m"}
    rates.told(TenantUsage.model_validate({**USAGE, "rates": [rate]}))
    assert "no requests left" in rates.why_not("m", RateLimits())
    assert rates.why_not("other", RateLimits()) == ""
    rates.told(TenantUsage.model_validate({**USAGE, "rates": [{**rate, "resets_at": "2020-01-01T00:00:00Z"}]}))
    assert rates.why_not("m", RateLimits()) == ""
    rates.told(TenantUsage.model_validate({**USAGE, "rates": [{**rate, "resets_at": "2099-01-01T00:00:00"}]}))
    assert "until 2099-01-01T00:00:00+00:00" in rates.why_not("m", RateLimits()), "a time without a zone is in UTC"


def test_a_failed_health_check_rests_the_whole_gateway(gateway: Front) -> None:
    async def test(router: Router, provider: LiteLLMProvider) -> None:
        gateway.healthy = False
        assert not await provider.health_check()
        with pytest.raises(NoModelError, match="failed its health check"):
            router.select_model(HELLO)
        gateway.healthy = True
        assert await provider.health_check()
        assert router.select_model(HELLO)

    routing(gateway, test)


def test_the_form_of_the_answer_is_reserved_beside_the_count(gateway: Front) -> None:
    """Providers count a schema as input; the gateway's count of the prompt does not have it."""
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"description": "long " * 2000}}}

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        await router.route_request(user("hello " * 100), max_cost="0.0012", max_tokens=64)
        assert "/v1/messages/count_tokens" not in gateway.paths
        answer = await router.route_request(
            user("hello " * 2000), max_cost="0.002", max_tokens=64, response_format=form
        )
        assert gateway.paths.count("/v1/messages/count_tokens") == 1
        assert answer.route.bound is not None and answer.route.bound > Decimal("0.001")

    routing(gateway, test, strategy="cost_optimized")


def test_parts_that_nobody_can_count_do_not_fit_into_any_money(gateway: Front) -> None:
    sound = user([{"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}])

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(MaxCostError, match="could not count"):
            await router.route_request(sound, max_cost=100)
        assert gateway.sent() == []

    routing(gateway, test)
