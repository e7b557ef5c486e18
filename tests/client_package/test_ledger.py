"""A call costs what a real gateway process writes into its journal: both APIs, whole and streamed, cached and not.

tests/clients/test_python_client.py compares with the ledger of a whole stack, also on LiteLLM's route.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.client_package.gateway import Front, entry
from tests.support.scripted_upstream import (
    CHAT_STREAM,
    JSON,
    Upstream,
    delta,
    error,
    event,
    start,
    upstream,
    whole_chat,
    whole_message,
)
from tests.support.scripted_upstream import Answer as Script
from tests.unit.services.gateway.process import KEY, catalogue, chat, messages, model, process, run
from tollgate.services.gateway.catalogue import Model
from tollgate.services.gateway.ledger.price import NANO_PER_USD, Prices
from tollgate.services.requests.paid_tools import nano_each
from tollgate_client import ChatMessage, ContentPart, LiteLLMProvider

PRICES = {"input": 2, "output": 10, "cache_read": 0.1, "cache_write_5m": 2.5, "cache_write_1h": 4}
PRICING = {"unit": "USD per million tokens", **PRICES}
CUSTOM = {name: {"pricing": PRICING} for name in ("claude", "converted", "gpt")}


def served(name: str, *targets: Any) -> Model:
    a_token = {kind: f"{Decimal(str(price)).scaleb(-6):f}" for kind, price in PRICES.items()}
    return model(*targets, name=name, prices=Prices.of(a_token))


def turns(ttl: str | None = None) -> list[ChatMessage]:
    control = {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}
    return [
        ChatMessage(role="user", content=[ContentPart(type="text", text="be brief " * 500, cache_control=control)]),
        ChatMessage(role="assistant", content="Yes."),
        ChatMessage(role="user", content=[ContentPart(type="text", text="Say hello. " * 9, cache_control=control)]),
    ]


async def costs(provider: LiteLLMProvider, name: str, asked: list[ChatMessage], *, claude: bool) -> list[Decimal]:
    """Of a whole answer and of the same as a stream."""
    if claude:
        whole = await provider.messages_create(asked, name, 50)
        events = provider.messages_stream(asked, name, 50)
        assert "".join([event.text async for event in events]) == whole.text
        return [provider.cost_of(whole), provider.cost_of(events)]
    answer = await provider.chat_completion(asked, name, 50)
    chunks = provider.stream_chat_completion(asked, name, 50)
    assert "".join([chunk.text async for chunk in chunks]) == answer.text
    return [provider.cost_of(answer), provider.cost_of(chunks)]


def test_every_kind_of_call_costs_what_the_gateway_books(gateway: Front, tmp_path: Path) -> None:
    at, hello = Upstream(gateway.url), [ChatMessage(role="user", content="Say hello.")]
    catalogued = catalogue(
        served("claude", messages(at, key="UPSTREAM")),
        served("converted", chat(at, "two", key="UPSTREAM")),
        served("gpt", chat(at, "three", key="UPSTREAM")),
    )

    async def test() -> None:
        async with (
            process(tmp_path, catalogued, credentials={"UPSTREAM": KEY}) as running,
            LiteLLMProvider(running.url, KEY, CUSTOM) as provider,
        ):
            said = []
            for asked in (hello, turns(), turns("1h")):
                said += await costs(provider, "claude", asked, claude=True)
                said += await costs(provider, "converted", asked, claude=True)
            said += await costs(provider, "gpt", hello, claude=False)
            booked = [Decimal(call.cost) / NANO_PER_USD for call in await running.ended(len(said))]
            assert sorted(said) == sorted(booked)
            assert len(said) == 14 and min(said) > 0

    run(test)


def test_cached_input_of_a_chat_stream_costs_what_the_gateway_books(tmp_path: Path) -> None:
    usage = (
        b'data: {"choices": [], "usage": {"prompt_tokens": 5000, "completion_tokens": 70, "total_tokens": 5070, '
        b'"prompt_tokens_details": {"cached_tokens": 4000, "cache_write_tokens": 600}}}\n\ndata: [DONE]\n\n'
    )
    script = Script([delta("hi"), delta("", "stop"), usage], headers=CHAT_STREAM.headers)

    async def test() -> None:
        async with (
            upstream(script) as one,
            process(tmp_path, catalogue(served("gpt", chat(one)))) as running,
            LiteLLMProvider(running.url, KEY, CUSTOM) as provider,
        ):
            stream = provider.stream_chat_completion([ChatMessage(role="user", content="hello")], "gpt", 100)
            assert [chunk.text async for chunk in stream if chunk.text] == ["hi"]
            [call] = await running.ended()
            assert provider.cost_of(stream) == Decimal(call.cost) / NANO_PER_USD
            exact = provider.calculate_cost(5000, 70, "gpt", cached_tokens=4000, cache_write_tokens=600)
            assert exact == provider.cost_of(stream) == Decimal("0.0034")

    run(test)


def test_an_answer_of_a_fallback_costs_the_price_of_the_fallback(tmp_path: Path) -> None:
    """As the gateway books it: it says which model answered."""
    hello = [ChatMessage(role="user", content="hello")]
    prices = {"gpt": {"pricing": {"input_per_million": 1, "output_per_million": 1}}, "opus": {"pricing": PRICING}}

    async def test() -> None:
        async with (
            upstream(error(529, "overloaded_error", "busy")) as down,
            upstream(Script([whole_chat()], headers=JSON), CHAT_STREAM) as up,
        ):
            catalogued = catalogue(
                served("gpt", chat(down)), served("opus", chat(up, "two")), fallbacks={"gpt": ("opus",)}
            )
            async with process(tmp_path, catalogued) as running, LiteLLMProvider(running.url, KEY, prices) as provider:
                whole = await provider.chat_completion(hello, "gpt", 50)
                stream = provider.stream_chat_completion(hello, "gpt", 50)
                assert [chunk async for chunk in stream]
                booked = [Decimal(call.cost) / NANO_PER_USD for call in await running.ended(2)]
                assert [provider.cost_of(whole), provider.cost_of(stream)] == booked
                assert whole.priced_model == stream.priced_model == "opus"
                assert provider.cost_of(whole) != provider.cost_of(whole, "gpt"), "twin: it is not that of gpt"

    run(test)


def searching(counted: int | None, called: int) -> list[Script]:
    """A whole answer that searched the web, and the same as a stream. Without `counted` the provider says no count."""
    said = {} if counted is None else {"server_tool_use": {"web_search_requests": counted}}
    block = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    whole = json.loads(whole_message())
    whole["content"] += [block] * called
    whole["usage"] |= said
    last = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 7, **said})
    blocks = [event("content_block_start", index=0, content_block=block)] * called
    stream = [start(), *blocks, last, event("message_stop")]
    return [Script([json.dumps(whole).encode()], headers=JSON), Script(stream, headers=CHAT_STREAM.headers)]


@pytest.mark.parametrize(
    ("counted", "called", "billed"),
    [(2, 2, 2), (1, 2, 1), (None, 2, 2), (None, 9, 3), (99, 1, 1), (0, 0, 0)],
    ids=["counted", "one failed", "uncounted", "more than allowed", "absurd", "unused"],
)
def test_uses_of_a_providers_tool_cost_what_the_gateway_books(
    tmp_path: Path, counted: int | None, called: int, billed: int
) -> None:
    """With the prices of the gateway's own list."""
    hello = [ChatMessage(role="user", content="hello")]
    tools = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}]
    price = {kind: f"{Decimal(str(amount)):f}" for kind, amount in PRICES.items()}
    told = entry("claude", price, server_tools={"unit": "USD per use", "price": {"web_search": "0.0100000004"}})

    async def test() -> None:
        async with upstream(*searching(counted, called)) as one:
            priced = replace(served("claude", messages(one)), tool_prices=nano_each({"web_search": "0.0100000004"}))
            listed = catalogue(priced, listed={"claude": told})
            async with process(tmp_path, listed) as running, LiteLLMProvider(running.url, KEY) as provider:
                whole = await provider.messages_create(hello, "claude", 50, tools=tools)
                stream = provider.messages_stream(hello, "claude", 50, tools=tools)
                assert [piece async for piece in stream]
                await provider.refresh_models()
                booked = [Decimal(call.cost) / NANO_PER_USD for call in await running.ended(2)]
                assert [provider.cost_of(whole), provider.cost_of(stream)] == booked
                searches = billed * Decimal("0.010000001")
                assert booked[0] - searches == provider.calculate_cost(11, 7, "claude") > 0

    run(test)
