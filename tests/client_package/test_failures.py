"""Failures of a real connection: refusals, retries, silence, cut answers, redirects. No call is paid twice."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import (
    CHAT_STREAM,
    CUT,
    HANG,
    JSON,
    RESET,
    Answer,
    Upstream,
    delta,
    error,
    upstream,
    whole_chat,
)
from tests.unit.services.gateway.process import (
    KEY,
    caller,
    catalogue,
    chat,
    model,
    process,
    run,
)
from tollgate_client import ChatMessage, LiteLLMProvider
from tollgate_client.errors import (
    BudgetSpentError,
    GatewayConnectionError,
    GatewayFaultError,
    GatewayTimeoutError,
    NotAllowedError,
    OverloadedError,
    ProviderRefusedError,
    RateLimitedError,
    RefusedKeyError,
    StatusError,
    StreamInterruptedError,
    TollgateError,
)
from tollgate_client.refusals import refusal, retry_after
from tollgate_client.retries import Retries

HELLO = [ChatMessage(role="user", content="hello")]
WHOLE = Answer([whole_chat()], headers=JSON)
SSE = {"content-type": "text/event-stream"}


def asking(*script: Answer, then: Callable[[LiteLLMProvider, Upstream], Awaitable[None]], **more: Any) -> None:
    async def test() -> None:
        settings = {"timeout": 20, **more}
        async with upstream(*script) as server, LiteLLMProvider(server.url, KEY, **settings) as provider:
            await then(provider, server)

    run(test)


def refused(status: int, **headers: str) -> Answer:
    return error(status, **{name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    "first",
    [
        refused(429, retry_after="0", x_should_retry="true"),
        refused(529, retry_after="0"),
        refused(503, retry_after="0"),
        refused(500, x_should_retry="true", retry_after="0"),
    ],
)
def test_a_refused_call_is_sent_again_where_the_gateway_says_so(first: Answer) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert (await provider.chat_completion(HELLO, "m")).text == "hi"
        assert len(server.asked) == 2

    asking(first, WHOLE, then=then)


@pytest.mark.parametrize(
    ("first", "kind"),
    [
        (refused(429, x_should_retry="false", retry_after="0"), RateLimitedError),
        (refused(529, x_should_retry="false"), OverloadedError),
        (refused(503, retry_after="61"), OverloadedError),
        (refused(500), GatewayFaultError),
        (refused(502), ProviderRefusedError),
        (refused(424), ProviderRefusedError),
        (refused(403), NotAllowedError),
        (refused(401), RefusedKeyError),
    ],
)
def test_twin_any_other_refusal_ends_the_call(first: Answer, kind: type[StatusError]) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(kind) as caught:
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 1
        assert type(caught.value) is kind

    asking(first, WHOLE, then=then)


def test_retries_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(OverloadedError):
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 4

    asking(refused(529, retry_after="0"), then=then, max_retries=3)


@pytest.mark.parametrize("how", [RESET, CUT])
def test_a_call_that_may_have_been_paid_is_not_sent_again(how: str) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(GatewayConnectionError) as caught:
            await provider.chat_completion(HELLO, "m")
        assert caught.value.sent and len(server.asked) == 1

    asking(Answer(before=how), WHOLE, then=then)


def test_twin_a_list_that_costs_nothing_is() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert await provider.get_available_models() == []
        assert len(server.asked) == 2

    asking(Answer(before=RESET), Answer([b'{"data": []}'], headers=JSON), then=then)


def test_a_gateway_that_is_not_there_is_named_and_nothing_was_sent() -> None:
    async def test() -> None:
        async with LiteLLMProvider("http://127.0.0.1:9", KEY, max_retries=0) as provider:
            with pytest.raises(GatewayConnectionError, match=r"cannot connect to http://127\.0\.0\.1:9") as caught:
                await provider.chat_completion(HELLO, "m")
            assert not caught.value.sent
            assert await provider.health_check() is False

    run(test)


def test_silence_ends_after_the_timeout() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(GatewayTimeoutError):
            await provider.chat_completion(HELLO, "m")
        with pytest.raises(StreamInterruptedError, match="silent"):
            async for _ in provider.stream_chat_completion(HELLO, "m"):
                pass
        assert len(server.asked) == 2

    asking(Answer(before=HANG), Answer([delta("hi"), HANG], headers=SSE), then=then, timeout=0.3)


@pytest.mark.parametrize("end", [CUT, RESET, b""])
def test_a_stream_without_its_end_is_no_answer(end: Any) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        texts = []
        with pytest.raises(StreamInterruptedError) as caught:
            async for chunk in provider.stream_chat_completion(HELLO, "m"):
                texts.append(chunk.text)
        assert texts == ["hi"] and len(server.asked) == 1
        assert caught.value.request_id == "req-7" and "(request req-7)" in str(caught.value)

    asking(Answer([delta("hi"), 0.1, end], headers={**SSE, "request-id": "req-7"}), then=then)


def test_a_whole_answer_that_is_cut_is_not_asked_for_again() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(StreamInterruptedError):
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 1

    asking(Answer([whole_chat()[:40], CUT], headers=JSON), WHOLE, then=then)


def test_a_stream_may_come_in_any_pieces() -> None:
    whole = b": a comment\r\n\r\n" + delta("grüße") + delta("", "stop").replace(b"\n", b"\r\n") + b"data: [DONE]\n\n"
    pieces = [whole[at : at + 3] for at in range(0, len(whole), 3)]

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert "".join([chunk.text async for chunk in provider.stream_chat_completion(HELLO, "m")]) == "grüße"

    asking(Answer(pieces, headers=SSE), then=then)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": None, "completion_tokens": "seven"},
        {"prompt_tokens": -1, "completion_tokens": 1.5, "total_tokens": True},
        {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}},
    ],
)
def test_a_paid_answer_is_not_lost_for_what_is_odd_in_it(usage: Any) -> None:
    odd = {"id": None, "model": None, "choices": [{"index": None, "message": {"role": None, "content": "hi"}}]}
    piece = {"id": None, "choices": [{"delta": {"role": None, "content": "hi", "tool_calls": None}}]}
    whole = Answer([json.dumps({**odd, "usage": usage}).encode()], headers=JSON)
    events = [f"data: {json.dumps(one)}\n\n".encode() for one in (piece, {"choices": None, "usage": usage})]

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        assert (await provider.chat_completion(HELLO, "m")).text == "hi"
        stream = provider.stream_chat_completion(HELLO, "m")
        assert "".join([chunk.text async for chunk in stream]) == "hi"

    asking(whole, Answer([*events, b"data: [DONE]\n\n"], headers=SSE), then=then)


def test_calls_share_one_connection_also_after_a_stream() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        for _ in range(3):
            await provider.chat_completion(HELLO, "m")
        assert [chunk async for chunk in provider.stream_chat_completion(HELLO, "m")]
        await provider.chat_completion(HELLO, "m")
        assert (server.connections, len(server.asked)) == (1, 5)

    asking(WHOLE, WHOLE, WHOLE, CHAT_STREAM, WHOLE, then=then)


def test_a_redirect_is_not_followed_with_the_key() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(GatewayFaultError, match="redirects"):
            await provider.chat_completion(HELLO, "m")
        assert len(server.asked) == 1

    asking(Answer([b"go"], 307, {"location": "/elsewhere"}), then=then)


def test_no_error_holds_the_key() -> None:
    """Not in its words, and not in what hangs on it: httpx's own errors hold the request with its headers."""
    caught: list[TollgateError] = []

    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        for _ in range(4):
            try:
                await provider.chat_completion(HELLO, "m")
            except TollgateError as problem:
                caught.append(problem)

    echo = error(400, "invalid_request_error", f"your header was Bearer {KEY}")
    asking(echo, Answer(before=RESET), Answer([b"{", CUT], headers=JSON), Answer([b"<html>"], 200), then=then)
    assert len(caught) == 4
    for problem in caught:
        assert KEY not in str(problem) + repr(problem) + repr(vars(problem))
        assert problem.__cause__ is None and problem.__context__ is None
    assert "[your key]" in str(caught[0])


def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 28, 10, tzinfo=UTC)
    assert [retry_after({"retry-after": value}, now) for value in ("7", "0.5")] == [7, 0.5]
    assert retry_after({"retry-after": format_datetime(now + timedelta(seconds=30), usegmt=True)}, now) == 30
    assert retry_after({"retry-after": format_datetime(now - timedelta(seconds=30), usegmt=True)}, now) == 0
    for odd in ("", "soon", "-3", "1e9", "²", "Fri, 31 Dec 9999 23:59:59 -2359"):
        assert retry_after({"retry-after": odd}, now) is None
        assert refusal(429, {"retry-after": odd}, b"", "").resets_at is None
    assert refusal(429, {"retry-after": "999999999"}, b"", "").resets_at is not None


def test_waits_grow_and_are_spread() -> None:
    retries, failed = Retries(most=5), refusal(529, {}, b"", "")
    assert [retries.wait(failed, attempt, 1.0, free=False) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 8, None]
    assert retries.wait(failed, 1, 0.0, free=False) == 0.375
    assert retries.wait(refusal(529, {"retry-after": "9"}, b"", ""), 1, 1.0, free=False) == 9


# ---- a real gateway process


def test_a_spent_budget_says_when_it_opens_again(tmp_path: Path) -> None:
    """The refusals of the gateway's own code, in the shape of each API."""

    async def test() -> None:
        async with upstream(WHOLE) as one:
            served = catalogue(model(chat(one), name="gpt"))
            who = caller({"daily_limit": 1})
            async with (
                process(tmp_path, served, who, spent=2_000_000_000) as gateway,
                LiteLLMProvider(gateway.url, KEY) as provider,
            ):
                for call in (provider.chat_completion, provider.messages_create):
                    with pytest.raises(BudgetSpentError) as caught:
                        await call(HELLO, "gpt", 50)
                    ends = caught.value.resets_at
                    assert ends is not None and ends > datetime.now(UTC)
                    assert (ends.hour, ends.minute) == (0, 0)
                    assert caught.value.request_id and caught.value.retry_after
        assert one.asked == []

    run(test)


def test_a_real_gateway_refuses_a_key_and_a_model_and_counts_a_minute(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one:
            served = catalogue(model(chat(one), name="gpt"))
            who = caller({"requests_per_minute": 1}, team={"models": ["gpt"]})
            async with process(tmp_path, served, who) as gateway:
                async with LiteLLMProvider(gateway.url, "sk-unknown-0123456789") as stranger:
                    with pytest.raises(RefusedKeyError):
                        await stranger.chat_completion(HELLO, "gpt")
                async with LiteLLMProvider(gateway.url, KEY, max_retries=0) as provider:
                    with pytest.raises(NotAllowedError):
                        await provider.chat_completion(HELLO, "nobody")
                    assert (await provider.chat_completion(HELLO, "gpt", 50)).text == "hi"
                    with pytest.raises(RateLimitedError) as caught:
                        await provider.chat_completion(HELLO, "gpt", 50)
                    assert 0 < (caught.value.retry_after or 0) <= 60

    run(test)
