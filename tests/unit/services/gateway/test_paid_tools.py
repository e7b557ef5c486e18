"""Tools that a provider runs: refused without a price, reserved at their most, booked by their count."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_litellm import hook
from tests.support.scripted_upstream import CUT, HANG, JSON, Answer, end, error, event, start, upstream, whole_message
from tests.unit.services.gateway.process import caller, catalogue, chat, messages, model, process, run
from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.lines import decode, encode
from tollgate.services.gateway.ledger.rows import metadata
from tollgate.services.gateway.ledger.usage import Tool
from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.requests.paid_tools import nano_each

CENT = 10_000_000
TOKENS = 11 * 1_000 + 7 * 5_000  # what the usual answer costs, in nano-dollars
SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
PRICED = nano_each({"web_search": "0.01"})
EVENTS = {"content-type": "text/event-stream"}
CALL = event(
    "content_block_start", index=0, content_block={"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search"}
)


def whole(searches: Any) -> Answer:
    message = json.loads(whole_message())
    message["usage"]["server_tool_use"] = {"web_search_requests": searches}
    return Answer([json.dumps(message).encode()], headers=JSON)


def ended(searches: int) -> bytes:
    usage = {"output_tokens": 7, "server_tool_use": {"web_search_requests": searches}}
    delta = {"stop_reason": "end_turn", "stop_sequence": None}
    return event("message_delta", delta=delta, usage=usage) + event("message_stop")


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_without_a_price_is_refused_in_our_words(tmp_path: Path, stream: bool) -> None:
    async def test() -> None:
        async with upstream(whole(1)) as one:
            served = catalogue(model(messages(one), tool_prices={}))
            async with process(tmp_path, served) as gateway:
                status, kind, words = (await gateway.ask(tools=[SEARCH], stream=stream)).told
                assert (status, kind) == (400, "invalid_request_error")
                assert "tools.0: this model has no price for web_search" in words and "price.server_tools" in words
                assert not one.asked and not gateway.booked()

    run(test)


@pytest.mark.parametrize("priced", [PRICED, None], ids=["with a price", "a free model"])
def test_twin_with_a_price_the_tool_passes_as_it_came(tmp_path: Path, priced: Any) -> None:
    async def test() -> None:
        async with (
            upstream(whole(2)) as one,
            process(tmp_path, catalogue(model(messages(one), tool_prices=priced))) as gateway,
        ):
            assert (await gateway.ask(tools=[SEARCH])).status == 200
            assert one.asked[0].body["tools"] == [SEARCH]
            (booked,) = await gateway.ended()
            assert booked.cost == TOKENS + (2 * CENT if priced else 0)

    run(test)


@pytest.mark.parametrize(
    ("script", "searches"),
    [
        ([start(), CALL, CALL, ended(2)], 2),
        ([start(), CALL, CALL, ended(1)], 1),  # a search that failed is not billed
        ([start(), CALL, CALL, end()], 2),  # the upstream says nothing
        ([start(), CALL, CALL, CUT], 2),
        ([start(), *[CALL] * 9, CUT], 3),
        ([start(), end()], 0),
    ],
    ids=["counted", "one failed", "uncounted", "cut", "more than allowed", "unused"],
)
def test_a_stream_is_booked_to_the_cent(tmp_path: Path, script: Any, searches: int) -> None:
    async def test() -> None:
        async with (
            upstream(Answer(script, headers=EVENTS)) as one,
            process(tmp_path, catalogue(model(messages(one), tool_prices=PRICED))) as gateway,
        ):
            async with gateway.post(tools=[SEARCH], stream=True) as answer:
                await answer.content.read()
            (booked,) = await gateway.ended()
            uses = searches * CENT
            assert booked.cost - calls.cost(booked.outcome.usage, booked.begun.target.prices) == 0
            assert sum(tool.uses * tool.nano_each for tool in booked.outcome.usage.tools) == uses
            shown = metadata(booked)["usage_object"].get("server_tool_use")
            assert shown == ({"web_search_requests": searches} if searches else None)

    run(test)


@pytest.mark.parametrize(("limit", "status"), [(0.0299, 429), (0.04, 200)])
def test_the_most_that_it_can_cost_is_reserved(tmp_path: Path, limit: float, status: int) -> None:
    """Three searches are three cents, beside less than a cent of tokens."""

    async def test() -> None:
        async with upstream(Answer([start(), HANG], headers=EVENTS), whole(0)) as one:
            served = catalogue(model(messages(one), tool_prices=PRICED))
            async with (
                process(tmp_path, served, caller({"daily_limit": limit}), spent=1) as gateway,
                gateway.post(tools=[SEARCH], stream=True) as running,
            ):
                assert running.status == 200
                assert (await gateway.ask()).status == status, "one request runs"

    run(test)


def test_a_fallback_without_a_price_for_the_tool_is_not_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(error(529, "overloaded_error", "busy")) as down, upstream(whole(1)) as up:
            dear = model(messages(up, "two"), name="opus", tool_prices={})
            served = catalogue(model(messages(down), tool_prices=PRICED), dear, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask(tools=[SEARCH])).status == 529
                assert not up.asked
                assert (await gateway.ask()).status == 200, "a request without the tool falls back"

    run(test)


def test_a_chat_upstream_gets_no_such_tool_and_needs_no_price(tmp_path: Path) -> None:
    async def test() -> None:
        answer = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
        async with (
            upstream(Answer([answer], headers=JSON)) as one,
            process(tmp_path, catalogue(model(chat(one), tool_prices={}))) as gateway,
        ):
            tools = [SEARCH, {"name": "ls", "input_schema": {"type": "object"}}]
            assert (await gateway.ask(tools=tools)).status == 200
            assert [tool["function"]["name"] for tool in one.asked[0].body["tools"]] == ["ls"]

    run(test)


def test_a_tool_type_of_a_chat_provider_is_refused_too(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(whole(1)) as one, process(tmp_path, catalogue(model(chat(one), tool_prices={}))) as gateway:
            answer = await gateway.ask("/v1/chat/completions", tools=[{"type": "openrouter:web_search"}])
            assert answer.status == 400 and "no price for openrouter:web_search" in answer.told[2]

    run(test)


def test_uses_survive_the_journal_and_an_older_release_reads_the_line(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(whole(2)) as one,
            process(tmp_path, catalogue(model(messages(one), tool_prices=PRICED))) as gateway,
        ):
            await gateway.ask(tools=[SEARCH])
            (booked,) = await gateway.ended()
            assert booked.outcome.usage.tools == (Tool("web_search", 2, CENT),)
            line = decode(encode(calls.plain_call(booked)).rstrip(b"\n"))
            assert line is not None and calls.call(line) == booked
            assert len(line["outcome"]["usage"]) == 7 and line["cost"] == booked.cost

    run(test)


# ---- LiteLLM's route


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Any]:
    """The hook of a replica whose `sonnet` has a price, whose `opus` has none, and whose `local` is free."""
    text = {"models": [], "max_body_bytes": 1, "translated": []}
    text["tool_prices"] = {"sonnet": {"web_search": "0.01"}, "opus": {}}
    (tmp_path / "requests.json").write_text(json.dumps(text))
    router = {"llm_router": type("Router", (), {"model_group_alias": {"big": "opus"}})}
    with hook("paid_tools", tmp_path, {"litellm.proxy.proxy_server": router}) as module:
        yield module.handler


@pytest.mark.parametrize(
    ("name", "refused"), [("sonnet", False), ("opus", True), ("big", True), ("local", False), ("nobody", False)]
)
def test_a_replica_refuses_with_the_same_words(replica: Any, name: str, refused: bool) -> None:
    async def test() -> None:
        CURRENT.set(ongoing := Ongoing())
        data = {"model": name, "tools": [SEARCH]}
        try:
            await replica.async_pre_call_hook(None, None, data, "acompletion")
        except Exception as error:  # noqa: BLE001  the fake's
            assert refused and "no price for web_search" in str(error)
        assert (ongoing.refusal is not None) == refused
        assert ongoing.refusal is None or (ongoing.refusal.status, ongoing.refusal.code) == (400, "invalid_request")
        assert replica.most(data, name) == (3 * CENT if name == "sonnet" else 0)

    run(test)
