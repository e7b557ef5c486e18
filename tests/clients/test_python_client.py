"""tollgate-client on the stack: from the wheel alone, its costs beside the ledger, its errors, its router.

tests/client_package has everything that needs no stack.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.support.client_package import bare_python
from tests.support.clock import until_the_hour_has_left
from tests.support.eventually import eventually
from tests.support.stack import Stack
from tollgate_client import ChatMessage, ContentPart
from tollgate_client.errors import BudgetSpentError, MaxCostError, NotAllowedError
from tollgate_client.sync import HeuristicRouter, LiteLLMProvider, Router

TENANT = "programmer"
MODELS = ["claude-haiku-5-5", "claude-opus-5-5", "test-model"]  # small, large, medium
HELLO = [ChatMessage(role="user", content="Say hello.")]
CACHED = {"type": "ephemeral"}


@pytest.fixture
def provider(stack: Stack) -> Iterator[LiteLLMProvider]:
    with LiteLLMProvider(stack.url, stack.key(TENANT), timeout=60) as provider:
        yield provider


ALONE = """
import asyncio, importlib.metadata, json, sys
from tollgate_client import ChatMessage, LiteLLMProvider, Router, Tool
from tollgate_client.errors import BudgetSpentError, MaxCostError

WEATHER = Tool.of("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}})


async def main():
    said = {}
    async with LiteLLMProvider() as provider:
        hello = [ChatMessage(role="user", content="Say hello.")]
        answer = await provider.chat_completion(hello, "test-model")
        said["chat"], used = answer.text, answer.usage
        said["cost"] = str(provider.calculate_cost(used.prompt_tokens, used.completion_tokens, "test-model"))
        said["same cost"] = str(provider.cost_of(answer))
        said["stream"] = "".join([chunk.text async for chunk in provider.stream_chat_completion(hello, "test-model")])
        ask = [ChatMessage(role="user", content='use get_weather {"city": "Paris"}')]
        called = await provider.chat_completion(ask, "test-model", tools=[WEATHER])
        said["tool"] = called.choices[0].message.tool_calls[0].function.parsed()
        router = Router({"gateway": provider}, "cost_optimized")
        routed = await router.route_request(hello, max_cost=0.001)
        said["routed"] = routed.route.model, routed.route.cost <= routed.route.bound, str(routed.route.bound)
        try:
            await router.route_request(hello, max_cost=0.0000001)
        except MaxCostError as error:
            said["too dear"] = error.cheapest
    async with LiteLLMProvider(api_key=sys.argv[1]) as spent:
        for _ in range(100):
            try:
                await spent.chat_completion(hello, "test-model", max_tokens=20)
            except BudgetSpentError as error:
                said["spent"] = error.resets_at.isoformat()
                break
    installed = {one.metadata["Name"].lower().replace("_", "-") for one in importlib.metadata.distributions()}
    said["installed"] = sorted(installed)
    print(json.dumps(said))


asyncio.run(main())
"""


def test_with_the_wheel_alone(stack: Stack) -> None:
    environment = {"LITELLM_BASE_URL": stack.url, "LITELLM_API_KEY": stack.key("developer")}
    command = [str(bare_python()), "-W", "error", "-c", ALONE, stack.key("pauper")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said: dict[str, Any] = json.loads(done.stdout)
    assert "You asked: “Say hello.”" in said["chat"] == said["stream"]
    assert said["tool"] == {"city": "Paris"}
    model, within, bound = said["routed"]
    assert within and Decimal(bound) <= Decimal("0.001") and model == "claude-haiku-5-5"
    assert said["too dear"] == "gateway/claude-haiku-5-5"
    assert Decimal(said["cost"]) == Decimal(said["same cost"]) > 0
    assert said["spent"].endswith("T00:00:00+00:00"), "its budget reopens at midnight"
    # httpx and pydantic bring these. Nothing is of the operator's package.
    brought = {"anyio", "certifi", "h11", "httpcore", "idna", "sniffio"}
    brought |= {"annotated-types", "pydantic-core", "typing-extensions", "typing-inspection"}
    assert {"tollgate-client", "httpx", "pydantic"} <= set(said["installed"])
    assert set(said["installed"]) <= {"tollgate-client", "httpx", "pydantic"} | brought


def spend(provider: LiteLLMProvider, model: str) -> Decimal:
    """Whole answers and streams of both APIs, with and without cached input; what the package says they cost."""
    cached = [ContentPart(type="text", text=f"{model}: be brief. " * 400, cache_control=CACHED)]
    turns = [
        ChatMessage(role="user", content=cached),
        ChatMessage(role="assistant", content="Yes."),
        ChatMessage(role="user", content=[ContentPart(type="text", text="Say hello.", cache_control=CACHED)]),
    ]
    plain = [turn.plain() for turn in turns]
    costs = []
    for messages in (HELLO, turns):
        costs.append(provider.cost_of(provider.chat_completion(messages, model, max_tokens=50)))
        stream = provider.stream_chat_completion(messages, model, max_tokens=50)
        assert "".join(chunk.text for chunk in stream)
        costs.append(provider.cost_of(stream))
    for messages in (HELLO, plain):
        whole = provider.messages_create(messages, model, 50)
        costs.append(provider.cost_of(whole))
        events = provider.messages_stream(messages, model, 50)
        assert "".join(event.text for event in events) == whole.text
        costs.append(provider.cost_of(events))
    assert whole.usage is not None and whole.usage.tokens().cache_read > 1000
    return sum(costs, Decimal(0))


def test_what_it_says_a_call_costs_is_what_the_ledger_books(stack: Stack, provider: LiteLLMProvider) -> None:
    """Chat with a Claude model goes through LiteLLM; with gateway processes all else is served directly."""
    until_the_hour_has_left(60)  # what is spent today is still today's when it is read

    def booked() -> dict[str, Decimal]:
        usage = json.loads(stack.cli("tenant", "usage", TENANT, "--json").stdout, parse_float=Decimal)
        return {row["model"]: round(Decimal(row["spend_usd"]), 9) for row in usage["models"]}

    before = booked()
    costs = {model: spend(provider, model) for model in ("test-model", "claude-haiku-5-5")}
    expected = before | {model: before.get(model, Decimal(0)) + cost for model, cost in costs.items()}

    def all_booked() -> bool:
        assert booked() == expected
        return True

    eventually(all_booked, within=120, every=1)
    told = provider.usage()
    assert told.tenant == TENANT
    [day] = [budget for budget in told.money if (budget.window, budget.scope) == ("day", "tenant")]
    assert day.spent == sum(expected.values()) and day.resets_at is not None
    assert day.limit == 10 and day.left == day.limit - day.spent


def test_models_have_the_prices_of_the_catalogue(provider: LiteLLMProvider) -> None:
    assert provider.get_supported_models() == MODELS
    infos = [provider.get_model_info(model) for model in MODELS]
    assert [info.tier for info in infos] == ["small", "large", "medium"]
    assert [(info.price.input, info.price.output) for info in infos if info.price] == [
        (Decimal("0.1"), Decimal("0.5")),
        (4, 20),
        (1, 5),
    ]
    assert [info.context_tokens for info in infos] == [1000000, 1000000, 200000]
    assert all(info.can("tools") for info in infos)


def test_the_router_chooses_among_models_of_different_price(provider: LiteLLMProvider) -> None:
    router, providers = HeuristicRouter(), {"litellm": provider}
    coding = [ChatMessage(role="user", content="Complex coding task")]
    assert router.select_model(messages=coding, providers=providers)[:2] == ("litellm", "claude-opus-5-5")
    simple = [ChatMessage(role="user", content="Simple question")]
    answer = router.route_request(messages=simple, providers=providers, strategy="cost_optimized", max_cost=0.01)
    assert answer.route.model == "claude-haiku-5-5" and answer.route.cost is not None
    assert answer.route.cost <= Decimal("0.01")
    with pytest.raises(MaxCostError):
        router.route_request(simple, providers, max_cost="0.0000001")
    went_on = Router(providers, "cascade").route_request(simple, accept=lambda found: "test-model" in found.text)
    assert [attempt.model for attempt in went_on.route.attempts] == ["claude-haiku-5-5", "test-model"]


def test_a_spent_budget_and_a_foreign_model_are_told(stack: Stack, provider: LiteLLMProvider) -> None:
    assert provider.health_check()
    with pytest.raises(NotAllowedError) as refused:
        provider.chat_completion(HELLO, "qwen-coder")
    assert refused.value.request_id and "qwen-coder" in refused.value.sentence
    with LiteLLMProvider(stack.url, stack.key("pauper"), timeout=60) as pauper:

        def broke() -> BudgetSpentError | None:
            try:
                pauper.chat_completion(HELLO, "test-model", max_tokens=20)
            except BudgetSpentError as error:
                return error
            return None

        error = eventually(broke, within=30)
        assert error is not None and error.resets_at is not None and "pauper" in error.sentence
        assert (error.resets_at.hour, error.resets_at.minute) == (0, 0)
    with LiteLLMProvider(stack.url, "sk-nobody-0123456789") as stranger:
        assert not stranger.health_check()


EXAMPLES = """
import asyncio
from tollgate_client.models import ChatMessage
from tollgate_client.providers.litellm_provider import LiteLLMProvider
from tollgate_client.router import HeuristicRouter


async def main():
    provider = LiteLLMProvider()
    messages = [ChatMessage(role="user", content="What is the capital of France?")]
    response = await provider.chat_completion(messages=messages, model="test-model", max_tokens=100, temperature=0.7)
    used = response.usage
    print(f"Response: {response.choices[0].message.content}")
    print(f"Cost: ${provider.calculate_cost(used.prompt_tokens, used.completion_tokens, 'test-model'):.6f}")
    async for chunk in provider.stream_chat_completion(messages=messages, model="claude-haiku-5-5", max_tokens=500):
        if chunk.get("choices") and chunk["choices"][0].get("delta", {}).get("content"):
            print(chunk["choices"][0]["delta"]["content"], end="", flush=True)
    costs = {model: provider.calculate_cost(1000, 500, model) for model in provider.get_supported_models()}
    print(f"\\nCheapest: {min(costs, key=costs.get)} (${min(costs.values()):.6f})")
    provider.add_custom_model(
        model_name="custom-llama-7b",
        pricing={"input": 0.0001, "output": 0.0002},
        rate_limits={"requests_per_minute": 200, "tokens_per_minute": 200000},
        metadata={"provider": "ollama", "context_window": 4096, "task_types": ["general", "code"]},
    )
    print(f"Model info: {provider.get_model_info('custom-llama-7b')}")
    print("Healthy:", await provider.health_check())
    print("Available:", [model["id"] for model in await provider.get_available_models()])
    router, providers = HeuristicRouter(), {"litellm": provider}
    task = [ChatMessage(role="user", content="Complex coding task")]
    selected_provider, selected_model, reason = router.select_model(messages=task, providers=providers)
    print(f"Selected: {selected_provider}/{selected_model} because {reason}")
    await provider.aclose()


asyncio.run(main())
"""


def test_the_examples_of_the_document_run(stack: Stack) -> None:
    """Programs for such a provider, with our names of the package and of the models."""
    environment = {"LITELLM_BASE_URL": stack.url, "LITELLM_API_KEY": stack.key(TENANT)}
    command = [str(bare_python()), "-W", "error", "-c", EXAMPLES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    for words in (
        "Response: You asked: “What is the capital of France?”",
        "Cost: $0.000",
        "Cheapest: claude-haiku-5-5 ($0.000350)",
        "custom-llama-7b",
        "Healthy: True",
        "Available: ['",
        "Selected: litellm/claude-opus-5-5 because the request wants a large model",
    ):
        assert words in done.stdout, done.stdout
