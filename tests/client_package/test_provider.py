"""The provider against a real server: chat, streams, Messages, tools, images, embeddings, models, usage, health."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest

from tests.client_package.gateway import KEY, Front, entry
from tests.contract.provider.cases import PNG
from tests.unit.services.gateway.process import run
from tollgate_client import ChatMessage, ContentPart, LiteLLMProvider, Tool
from tollgate_client.errors import (
    AnswerError,
    BadRequestError,
    ConfigurationError,
    RefusedKeyError,
    StreamInterruptedError,
    UnknownModelError,
    UnknownPriceError,
)
from tollgate_client.models import ChatCompletion

HELLO = [ChatMessage(role="user", content="Say hello.")]
WEATHER = Tool.of("get_weather", {"type": "object", "properties": {"city": {"type": "string"}}}, "Weather of a city")


def using(gateway: Front, test: Callable[[LiteLLMProvider], Awaitable[None]], **more: Any) -> None:
    async def inside() -> None:
        async with LiteLLMProvider(gateway.url, KEY, **more) as provider:
            await test(provider)

    run(inside)


def test_a_whole_answer_and_what_it_cost(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        answer = await provider.chat_completion(HELLO, "test-model", max_tokens=100, temperature=0.7)
        assert "You asked: “Say hello.”" in (answer.choices[0].message.content or "")
        assert answer.usage is not None and answer.request_id
        used = answer.usage
        cost = provider.calculate_cost(used.prompt_tokens, used.completion_tokens, "test-model")
        assert cost == (used.prompt_tokens + used.completion_tokens * 5) / Decimal(1_000_000) > 0
        assert provider.cost_of(answer) == cost

    using(gateway, test)
    assert gateway.sent()[0] | {"path": ""} == {
        "path": "",
        "model": "test-model",
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 100,
        "temperature": 0.7,
    }


def test_a_stream_says_the_same_and_its_last_chunk_has_the_usage(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        whole = await provider.chat_completion(HELLO, "test-model")
        stream = provider.stream_chat_completion(HELLO, "test-model")
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.text for chunk in chunks) == whole.text
        assert len(chunks) > 5
        assert chunks[-1].usage == stream.usage == whole.usage
        assert provider.cost_of(stream) == provider.cost_of(whole)

    using(gateway, test)


def test_an_option_of_a_stream_does_not_cost_its_usage(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        stream = provider.stream_chat_completion(HELLO, "test-model", stream_options={"include_obfuscation": False})
        assert [chunk async for chunk in stream] and stream.usage is not None

    using(gateway, test)
    assert gateway.sent()[0]["stream_options"] == {"include_usage": True, "include_obfuscation": False}


def test_chunks_can_be_read_as_dictionaries(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        text = ""
        async for chunk in provider.stream_chat_completion(messages=HELLO, model="test-model", max_tokens=500):
            if chunk.get("choices") and chunk["choices"][0].get("delta", {}).get("content"):
                text += chunk["choices"][0]["delta"]["content"]
        assert "You asked: “Say hello.”" in text

    using(gateway, test)


def test_a_stream_that_is_left_early_ends_at_the_server(gateway: Front) -> None:
    slow = [ChatMessage(role="user", content="hello [[tokens=400 tps=20]]")]

    async def test(provider: LiteLLMProvider) -> None:
        async for _ in provider.stream_chat_completion(slow, "test-model"):
            break
        async with provider.stream_chat_completion(slow, "test-model") as stream:
            await stream.__anext__()
        pool = provider._connection._opened()._transport._pool  # type: ignore[attr-defined]
        assert [connection for connection in pool.connections if not connection.is_idle()] == []

    using(gateway, test)


def test_a_tool_is_called_and_its_result_is_told(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        asked = ChatMessage(role="user", content='use get_weather {"city": "Paris"}')
        called = await provider.chat_completion([asked], "test-model", tools=[WEATHER])
        message = called.choices[0].message
        assert message.tool_calls is not None
        call = message.tool_calls[0]
        assert (call.function.name, call.function.parsed()) == ("get_weather", {"city": "Paris"})
        result = ChatMessage(role="tool", tool_call_id=call.id, content="rain")
        told = await provider.chat_completion([asked, message, result], "test-model", tools=[WEATHER])
        assert "The tool get_weather answered: “rain”" in told.text

    using(gateway, test)


def test_an_image_is_seen(gateway: Front) -> None:
    import base64

    async def test(provider: LiteLLMProvider) -> None:
        parts = [ContentPart.of_image(base64.b64decode(PNG)), ContentPart.of_text("What is it?")]
        answer = await provider.chat_completion([ChatMessage(role="user", content=parts)], "test-model")
        assert "1 image" in answer.text

    using(gateway, test)
    with pytest.raises(ValueError, match="PNG, JPEG, GIF or WebP"):
        ContentPart.of_image(b"no image")


def test_messages_whole_and_streamed_cost_the_same(gateway: Front) -> None:
    system = [{"type": "text", "text": "Be brief. " * 300, "cache_control": {"type": "ephemeral"}}]

    async def test(provider: LiteLLMProvider) -> None:
        whole = await provider.messages_create(HELLO, "test-model", 100, system=system)
        stream = provider.messages_stream(HELLO, "test-model", 100, system=system)
        text = "".join([event.text async for event in stream])
        assert text == whole.text and "You asked: “Say hello.”" in text
        assert whole.usage is not None and whole.usage.tokens().cache_write_5m > 500
        used = whole.usage.tokens()
        expected = (used.input + used.cache_write_5m * Decimal("1.25") + used.output * 5) / 1_000_000
        assert provider.cost_of(whole) == provider.cost_of(stream) == expected

    using(gateway, test)


def test_tokens_are_counted_for_chat_messages_with_tools(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        plain = await provider.count_tokens(HELLO, "test-model")
        assert plain == (await provider.messages_create(HELLO, "test-model", 10)).usage.input_tokens  # type: ignore[union-attr]
        system = ChatMessage(role="system", content="Be brief. " * 20)
        assert await provider.count_tokens([system, *HELLO], "test-model", tools=[WEATHER]) > plain + 50

    using(gateway, test)


def test_embeddings(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        found = await provider.embeddings(["one", "two"], "test-embedding", dimensions=8)
        assert [len(one.embedding) for one in found.data] == [8, 8]
        assert provider.cost_of(found) == Decimal("0.00000004")

    using(gateway, test)


def test_models_prices_and_what_they_can(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        available = await provider.get_available_models()
        assert [model["id"] for model in available] == [model["id"] for model in gateway.models]
        info = provider.get_model_info("test-model")
        assert (info.context_tokens, info.max_output_tokens, info.tier) == (200000, 64000, "medium")
        assert info.price is not None and info.price.cache_write_1h == 2
        assert info.can("tools") and not info.can("video")
        with pytest.raises(UnknownModelError, match="large-model"):
            provider.get_model_info("nobody")

    using(gateway, test)


def test_the_list_is_fetched_once_and_again_after_its_time(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        assert provider.get_supported_models() == ["large-model", "small-model", "test-embedding", "test-model"]
        await provider.refresh_models()
        provider.calculate_cost(1000, 500, "test-model")
        assert gateway.paths.count("/v1/models") == 1

    using(gateway, test)

    async def at_once(provider: LiteLLMProvider) -> None:
        gateway.models = [entry("other", {"input": "1", "output": "1"})]
        assert provider.get_supported_models() == ["other"]
        gateway.models = [entry("third", {"input": "1", "output": "1"})]
        assert provider.get_supported_models() == ["third"]

    using(gateway, at_once, models_ttl=0)


def test_a_model_without_a_price_has_no_cost_and_a_free_one_costs_nothing(gateway: Front) -> None:
    gateway.models = [
        entry("secret", None),
        entry("mine", None, free=True),
        entry("odd", {"unit": "EUR", "input": "1"}),
    ]

    async def test(provider: LiteLLMProvider) -> None:
        assert provider.calculate_cost(10, 10, "mine") == 0
        for name in ("secret", "odd"):
            with pytest.raises(UnknownPriceError, match="custom_models"):
                provider.calculate_cost(10, 10, name)

    using(gateway, test)


def test_usage_is_exact_and_keeps_fields_that_are_not_known_yet(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        usage = await provider.usage()
        assert (usage.money[0].left, usage.money[0].resets_at.year) == (Decimal("6.786"), 2099)  # type: ignore[union-attr]
        assert usage.rates[0].left == 57 and usage.days[0].spent == Decimal("3.214")
        assert usage["later_field"] == {"kept": True}

    using(gateway, test)


def test_health_needs_a_replica_and_the_right_key(gateway: Front, caplog: pytest.LogCaptureFixture) -> None:
    async def well(provider: LiteLLMProvider) -> None:
        assert await provider.health_check() is True
        gateway.healthy = False
        assert await provider.health_check() is False

    using(gateway, well, max_retries=0)

    async def refused() -> None:
        async with LiteLLMProvider(gateway.url, "sk-wrong") as provider:
            gateway.healthy = True
            assert await provider.health_check() is False

    run(refused)
    assert "The key is unknown." in caplog.text and "sk-wrong" not in caplog.text


def test_a_wrong_key_and_a_wrong_request_are_told_in_the_gateways_words(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        with pytest.raises(BadRequestError) as caught:
            await provider.chat_completion(HELLO, "test-model", max_tokens=-1)
        assert caught.value.status == 400 and "max_tokens" in caught.value.sentence and caught.value.request_id

    using(gateway, test)

    async def refused() -> None:
        async with LiteLLMProvider(gateway.url, "sk-wrong") as provider:
            with pytest.raises(RefusedKeyError, match=r"The key is unknown. \(status 401, request req-1\)"):
                await provider.chat_completion(HELLO, "test-model")

    run(refused)


def test_a_stream_that_fails_in_the_middle_says_so(gateway: Front) -> None:
    for dial in ("error=after:3", "drop=after:3 tps=50"):

        async def test(provider: LiteLLMProvider, dial: str = dial) -> None:
            failing = [ChatMessage(role="user", content=f"hello [[{dial}]]")]
            chunks = []
            with pytest.raises(StreamInterruptedError):
                async for chunk in provider.stream_chat_completion(failing, "test-model"):
                    chunks.append(chunk)
            assert chunks

        using(gateway, test)
        assert len(gateway.sent()) == 1, "a stream that has begun is not asked for again"
        gateway.bodies.clear()


def test_the_environment_names_the_gateway(gateway: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_BASE_URL", f"{gateway.url}/v1/")
    monkeypatch.setenv("LITELLM_API_KEY", KEY)

    async def test() -> None:
        async with LiteLLMProvider() as provider:
            assert (await provider.chat_completion(HELLO, "test-model")).text
            assert KEY not in repr(provider) + repr(provider._settings)

    run(test)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": "gateway:4000"}, "http://"),
        ({"api_key": "sk with space"}, "printable ASCII"),
        ({"timeout": 0}, "above 0"),
        ({"max_retries": -1}, "0 or more"),
        ({"custom_models": {"m": {"price": {}}}}, "pricing, rate_limits or metadata"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LiteLLMProvider(**settings)


def test_what_a_request_cannot_hold_is_refused_before_it_is_sent(gateway: Front) -> None:
    async def test(provider: LiteLLMProvider) -> None:
        with pytest.raises(ConfigurationError, match="found object"):
            await provider.chat_completion(HELLO, "test-model", seed=object())
        with pytest.raises(ConfigurationError, match="stream_chat_completion"):
            await provider.chat_completion(HELLO, "test-model", stream=True)
        for odd in ({"top_p": float("nan")}, {"user": "\ud800"}):
            with pytest.raises(ConfigurationError, match="written as JSON"):
                await provider.chat_completion(HELLO, "test-model", **odd)
        with pytest.raises(ConfigurationError, match="stream_options as a mapping"):
            provider.stream_chat_completion(HELLO, "test-model", stream_options="usage")
        with pytest.raises(ConfigurationError, match="a list of messages"):
            await provider.chat_completion("hello", "test-model")  # type: ignore[arg-type]

    using(gateway, test)
    assert gateway.bodies == []


def test_an_answer_of_another_server_is_an_error(gateway: Front) -> None:
    gateway.usage = {"hello": "world"}

    async def test(provider: LiteLLMProvider) -> None:
        with pytest.raises(AnswerError, match="tenant"):
            await provider.usage()

    using(gateway, test)


def test_fields_of_an_answer_that_are_not_known_are_kept() -> None:
    stated = {"choices": [{"message": {"role": "assistant", "content": "x", "mood": "good"}}], "new": [1]}
    answer = ChatCompletion.model_validate(stated)
    assert answer["new"] == [1] and answer.choices[0].message["mood"] == "good"
    assert answer.plain()["choices"][0]["message"]["mood"] == "good"
    assert "nothing" not in answer and answer.get("nothing", 7) == 7
    with pytest.raises(KeyError):
        answer["nothing"]


def test_debug_logs_say_what_was_asked_and_hold_no_key(gateway: Front, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def test(provider: LiteLLMProvider) -> None:
        await provider.chat_completion(HELLO, "test-model")

    using(gateway, test)
    assert "POST /v1/chat/completions: 200 after" in caplog.text
    assert KEY not in caplog.text and "Say hello" not in caplog.text
