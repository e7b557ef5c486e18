"""The pool: its event loop and process, its limits of time and size, its environment, and one fetch for all."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.client_package.gateway import KEY, MODELS, Front
from tests.client_package.test_failures import HELLO, SSE, WHOLE, asking
from tests.support.scripted_upstream import CUT, HANG, JSON, Answer, Upstream, delta, error, whole_chat
from tollgate_client import ChatMessage, LiteLLMProvider, routes, sync
from tollgate_client._async import connection
from tollgate_client.errors import (
    AnswerError,
    ConfigurationError,
    GatewayConnectionError,
    GatewayFaultError,
    OverloadedError,
    StreamInterruptedError,
    TollgateError,
)
from tollgate_client.settings import Settings

LIST = Answer([json.dumps({"data": MODELS}).encode()], headers=JSON)
SLOW = Answer([piece for at in range(0, 200, 20) for piece in (whole_chat().ljust(200)[at : at + 20], 0.15)], 200, JSON)


# ---- whose pool it is


# asyncio warns of the sockets that the first loop left.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_provider_serves_one_event_loop_after_another(gateway: Front) -> None:
    provider = LiteLLMProvider(gateway.url, KEY)

    async def ask() -> str:
        return (await provider.chat_completion(HELLO, "test-model")).text

    assert asyncio.run(ask()) == asyncio.run(ask())
    assert len(set(gateway.ports)) == 2, "sockets of a loop that has ended serve no other"

    async def twice() -> None:
        await ask()
        await ask()
        await provider.aclose()

    asyncio.run(twice())
    assert len(set(gateway.ports)) == 3, "twin: within one loop the connection is kept"
    gc.collect()


def test_after_a_fork_no_process_reads_the_answers_of_the_other(gateway: Front) -> None:
    with sync.LiteLLMProvider(gateway.url, KEY) as provider:
        provider.chat_completion(HELLO, "test-model")
        child = os.fork()
        if child == 0:
            try:
                provider.chat_completion(HELLO, "test-model")
                provider.close()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        provider.chat_completion(HELLO, "test-model")
        first, of_child, last = gateway.ports
        assert first == last != of_child


def test_threads_share_a_provider(gateway: Front) -> None:
    with sync.LiteLLMProvider(gateway.url, KEY) as provider, ThreadPoolExecutor(8) as threads:
        asked = [[ChatMessage(role="user", content=f"number {number}")] for number in range(24)]
        answers = list(threads.map(lambda one: provider.chat_completion(one, "test-model").text, asked))
    assert [f"number {number}”" in answer for number, answer in enumerate(answers)] == [True] * 24


@pytest.mark.parametrize("streamed", [True, False])
def test_a_call_that_is_cancelled_ends_at_the_server_and_in_the_pool(streamed: bool) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        async def ask() -> None:
            if streamed:
                async for _ in provider.stream_chat_completion(HELLO, "m"):
                    pass
            else:
                await provider.chat_completion(HELLO, "m")

        task = asyncio.create_task(ask())
        while not server.asked:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await server.left()
        pool = provider._connection._opened()._transport._pool  # type: ignore[attr-defined]
        assert [connection for connection in pool.connections if not connection.is_idle()] == []
        assert (await provider.chat_completion(HELLO, "m")).text == "hi"
        assert len(server.asked) == 2

    headers = SSE if streamed else JSON
    asking(Answer([delta("hi"), HANG], headers=headers), WHOLE, then=then)


@pytest.mark.parametrize(("without", "through"), [("", True), ("gateway.invalid", False)])
def test_a_proxy_of_the_environment_is_used(
    gateway: Front, monkeypatch: pytest.MonkeyPatch, without: str, through: bool
) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        monkeypatch.setenv("NO_PROXY", without)
        async with LiteLLMProvider("http://gateway.invalid", KEY, max_retries=0) as behind:
            if through:
                assert (await behind.chat_completion(HELLO, "m")).text == "hi"
            else:
                with pytest.raises(GatewayConnectionError, match="cannot connect"):
                    await behind.chat_completion(HELLO, "m")
        assert [asked.path for asked in server.asked] == ["http://gateway.invalid/v1/chat/completions"] * through

    asking(WHOLE, then=then)


# ---- how long and how large


def test_a_whole_answer_that_drips_ends_at_the_timeout() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(StreamInterruptedError, match="within the timeout"):
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 1

    asking(SLOW, then=then, timeout=0.6)


def test_twin_a_slow_answer_within_the_timeout_is_read() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert (await provider.chat_completion(HELLO, "m")).text == "hi"

    asking(SLOW, then=then, timeout=20)


@pytest.mark.parametrize(("most", "served"), [(50, False), (5000, True)])
def test_an_answer_without_an_end_is_not_kept(monkeypatch: pytest.MonkeyPatch, most: int, served: bool) -> None:
    monkeypatch.setattr(connection, "LARGEST_ANSWER", most)

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        if served:
            assert (await provider.chat_completion(HELLO, "m")).text == "hi"
            return
        with pytest.raises(AnswerError, match="larger than 50 bytes"):
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 1

    asking(WHOLE, then=then)


def test_a_refusal_without_an_end_is_not_read_to_it() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(GatewayFaultError):
            await provider.chat_completion(HELLO, "m")
        assert server.sent < 60 * 2**20

    asking(Answer([b"x" * 2**20] * 60 + [HANG], 500), then=then)


def test_a_silent_gateway_is_not_healthy_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    assert routes.HEALTH.seconds == routes.MODELS.seconds == routes.USAGE.seconds == 10
    settings = Settings.of("http://gateway", KEY, 600, 0)
    assert (settings.timeouts(routes.HEALTH.seconds).read, settings.timeouts().read) == (10, 600)
    monkeypatch.setattr(routes, "HEALTH", replace(routes.HEALTH, seconds=0.2))

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        async with asyncio.timeout(10):
            assert await provider.health_check() is False

    asking(Answer(before=HANG), then=then, timeout=600, max_retries=0)


def test_a_list_that_is_cut_is_asked_for_again() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert len(await provider.get_available_models()) == len(MODELS)
        assert len(server.asked) == 2

    asking(Answer([b'{"data": [', CUT], headers=JSON), LIST, then=then)


@pytest.mark.parametrize("kind", ["text/html", "application/json"])
def test_an_answer_that_is_no_stream_is_told(kind: str) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(AnswerError, match=f"expected a stream, found '{kind}"):
            async for _ in provider.stream_chat_completion(HELLO, "m"):
                pass
        assert len(server.asked) == 1

    asking(Answer([b"{}"], headers={"content-type": kind}), then=then)


def test_twin_a_stream_is() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert [chunk async for chunk in provider.stream_chat_completion(HELLO, "m")] == []

    asking(Answer([b"data: [DONE]\n\n"], headers={"content-type": "Text/Event-Stream; charset=utf-8"}), then=then)


def test_an_event_in_many_lines_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate_client.sse.LARGEST_EVENT", 1000)

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(StreamInterruptedError, match="larger than 1000 bytes"):
            async for _ in provider.stream_chat_completion(HELLO, "m"):
                pass

    asking(Answer([b"data: 0123456789\n"] * 100, headers=SSE), then=then)


# ---- the list of models


def test_many_who_need_the_list_fetch_it_once(gateway: Front) -> None:
    async def test() -> None:
        async with LiteLLMProvider(gateway.url, KEY) as provider:
            await asyncio.gather(*[provider.refresh_models() for _ in range(20)])

    asyncio.run(test())
    assert gateway.paths == ["/v1/models"]
    with sync.LiteLLMProvider(gateway.url, KEY) as provider, ThreadPoolExecutor(8) as threads:
        for ask in (provider.get_supported_models, provider.refresh_models):
            list(threads.map(lambda _, ask=ask: ask(), range(8)))
    assert gateway.paths == ["/v1/models"] * 2


def test_twin_without_a_ttl_each_fetches_it(gateway: Front) -> None:
    async def test() -> None:
        async with LiteLLMProvider(gateway.url, KEY, models_ttl=0) as provider:
            await asyncio.gather(*[provider.refresh_models() for _ in range(5)])

    asyncio.run(test())
    assert gateway.paths == ["/v1/models"] * 5


def test_one_failure_is_told_to_all_who_wait() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        found = await asyncio.gather(*[provider.refresh_models() for _ in range(9)], return_exceptions=True)
        assert {type(one) for one in found} == {OverloadedError}
        assert len(server.asked) == 1
        with pytest.raises(OverloadedError):
            await provider.refresh_models()
        assert len(server.asked) == 2, "twin: who comes later tries again"

    asking(error(503), then=then, max_retries=0)


@pytest.mark.parametrize(("status", "survived"), [(502, True), (503, True), (429, True), (401, False), (404, False)])
def test_a_gateway_that_restarts_leaves_the_known_models(status: int, survived: bool) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        provider.add_custom_model("mine", {"input": 0, "output": 0})
        if survived:
            await provider.refresh_models()
            assert provider.get_supported_models() == ["mine"]
            return
        with pytest.raises(TollgateError):
            await provider.refresh_models()

    asking(error(status), then=then, max_retries=0)


def test_a_server_without_a_list_is_no_gateway_without_models() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(AnswerError, match="data"):
            await provider.get_available_models()

    asking(Answer([b'{"hello": "world"}'], headers=JSON), then=then)


# ---- the environment and the arguments


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "/nowhere/ca.pem"), ("ALL_PROXY", "socks9://user:hidden@proxy:1")]
)
def test_an_environment_that_cannot_be_used_is_told(
    gateway: Front, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    asked: list[Callable[[], Any]] = [
        lambda: asyncio.run(LiteLLMProvider("https://gateway", KEY).get_available_models()),
        lambda: LiteLLMProvider("https://gateway", KEY).get_supported_models(),
        lambda: sync.LiteLLMProvider("https://gateway", KEY).chat_completion(HELLO, "m"),
    ]
    for ask in asked:
        with pytest.raises(ConfigurationError, match="of the environment cannot be used") as caught:
            ask()
        assert "hidden" not in str(caught.value) and caught.value.__context__ is None


@pytest.mark.parametrize(
    "address",
    ["sk-secret-0123456789", "http://", "http://[::1", "http://host:99999", "http://ho st", "ftp://host", "host:4000"],
)
def test_a_text_that_names_no_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigurationError, match="expected base_url as http") as caught:
        LiteLLMProvider(address, "key")
    assert "secret" not in str(caught.value) and caught.value.__context__ is None


@pytest.mark.parametrize("address", ["http://user:hidden@host", "http://host?key=hidden", "http://host/#hidden"])
def test_an_address_with_a_password_is_refused(address: str) -> None:
    """httpx would send it instead of the key, and it would be in logs and errors."""
    with pytest.raises(ConfigurationError, match="without a user") as caught:
        LiteLLMProvider(address, "key")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    "address", ["http://host", "https://host:4000/gateway/v1/", "http://[::1]:4000", " http://h\n"]
)
def test_twin_an_address_is_taken(address: str) -> None:
    assert not repr(LiteLLMProvider(address, "key")).endswith("/v1')")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": 5}, "base_url as text, found int"),
        ({"base_url": Path("x")}, "base_url as text"),
        ({"api_key": b"key"}, "api_key as text, found bytes"),
        ({"timeout": None}, "a timeout above 0"),
        ({"timeout": float("inf")}, "up to 1,000,000"),
        ({"timeout": float("nan")}, "a timeout above 0"),
        ({"max_retries": 1.5}, "whole number"),
        ({"max_retries": "2"}, "whole number"),
        ({"models_ttl": float("nan")}, "models_ttl"),
        ({"models_ttl": -1}, "models_ttl"),
        ({"custom_models": ["m"]}, "a mapping of names"),
        ({"custom_models": {"m": 5}}, "pricing, rate_limits and metadata"),
        ({"custom_models": {"m": {"pricing": "3"}}}, "pricing of m as a mapping"),
        ({"custom_models": {"m": {"rate_limits": 3}}}, "rate_limits of m as a mapping"),
        ({"custom_models": {"m": {"metadata": 3}}}, "metadata of m as a mapping"),
        ({"custom_models": {"m": {"metadata": {"context_window": "8192"}}}}, "context_window as a whole number"),
        ({"custom_models": {"m": {"metadata": {"capabilities": "tools"}}}}, "capabilities as a list"),
        ({"custom_models": {"m": {"metadata": {"mode": 1}}}}, "mode as text"),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        LiteLLMProvider(**{"base_url": "", **settings})


def test_many_retries_wait_no_longer_than_few() -> None:
    retries = Settings.of("", "", 1, 5000).retries
    assert retries.wait(StreamInterruptedError("cut"), 4000, 1.0, free=True) == retries.longest


def test_tools_that_print_variables_do_not_print_the_key() -> None:
    settings = Settings.of("http://gateway", KEY, 1, 0)
    assert KEY not in repr(settings.headers()) + repr(settings)
    assert settings.headers()["authorization"] == f"Bearer {KEY}"
