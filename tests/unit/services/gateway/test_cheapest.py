"""A `cheapest` name on the direct route: the model that answers, its bill, and the same choice as a replica's hook."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.fake_litellm import hook
from tests.support.scripted_upstream import JSON, Answer, Upstream, end, error, start, text, upstream, whole_message
from tests.unit.services.gateway.process import KEY, caller, catalogue, free, messages, model, process, run
from tollgate.services.choice.candidates import Candidate, Choice
from tollgate.services.gateway.call import RefusedError
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue
from tollgate.services.gateway.chosen import chosen
from tollgate.services.gateway.ledger.price import Prices
from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.requests.paid_tools import nano_each

WHOLE = Answer([whole_message()], headers=JSON)
STREAM = Answer([start(), text("x"), end()], 200, {"content-type": "text/event-stream"})
SEARCH = "web_search"
TOOL = {"name": "ls", "input_schema": {"type": "object"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "A" * 90_000}}
SEARCHES = {"type": "web_search_20250305", "name": SEARCH, "max_uses": 5}


def candidate(name: str, price: str, **more: Any) -> Candidate:
    base = {"context": None, "max_output": None, "tools": True, "vision": True}
    return Candidate(name, Decimal(price), Decimal(price), **{**base, **more})


AUTO = Choice(
    (
        candidate("dear", "0.001", tool_prices=nano_each({SEARCH: "0.01"})),
        candidate("fair", "0.0001", tools=False),
        candidate("cheap", "0.00001", vision=False, context=1000),
    ),
    Decimal(2),
)


def served(at: Upstream | None = None, **more: Any) -> Catalogue:
    """Three models, each with its price, at one upstream; or without an upstream, which only choosing needs."""
    where: Any = at or SimpleNamespace(url="http://127.0.0.1:9")
    models = [
        model(
            messages(where, one.name), name=one.name, prices=Prices.of({"input": f"{one.input:f}", "output": "0.0001"})
        )
        for one in AUTO.models
    ]
    return replace(catalogue(*models, **more), choices={"auto": AUTO})


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "cheap"),
        ({"stream": True}, "cheap"),
        ({"tools": [TOOL]}, "cheap"),
        ({"messages": [{"role": "user", "content": "word " * 1500}]}, "fair"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "fair"),
        ({"messages": [{"role": "user", "content": [IMAGE]}], "tools": [TOOL]}, "dear"),
        ({"model": "claude-router-6175746f"}, "cheap"),
    ],
    ids=["nothing", "stream", "tool", "long", "image", "image and tool", "Claude Code's form"],
)
def test_the_cheapest_suitable_model_answers_directly(tmp_path: Path, more: dict[str, Any], name: str) -> None:
    async def test() -> None:
        async with upstream(STREAM if more.get("stream") else WHOLE) as one, process(tmp_path, served(one)) as gateway:
            answer = await gateway.ask(**{"model": "auto", **more})
            assert (answer.status, answer.headers["x-tollgate-model"]) == (200, name), answer
            assert "tollgate-answered-by" not in answer.headers
            assert [asked.body["model"] for asked in one.asked] == [f"{name}-upstream"]
            assert not gateway.litellm.asked
            (booked,) = await gateway.ended()
            assert (booked.begun.model, booked.begun.target.id) == (name, name)

    run(test)


def test_twin_a_choice_with_a_candidate_of_litellms_is_handed_over(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, replace(served(one), choices={})) as gateway:
            answer = await gateway.ask(model="test-only-litellm")
            assert answer.text == b'{"handed":"over"}'
            assert gateway.metric("handovers_total", reason="name") == 1

    run(test)


def test_a_model_that_was_named_has_no_header_of_a_choice(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, served(one)) as gateway:
            assert "x-tollgate-model" not in (await gateway.ask(model="cheap")).headers

    run(test)


def test_a_fallback_of_the_chosen_model_is_named(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(error(529, "overloaded_error", "busy"), WHOLE) as one:
            catalogue = served(one, fallbacks={"cheap": ("dear",)})
            async with process(tmp_path, catalogue) as gateway:
                answer = await gateway.ask(model="auto")
                assert [asked.body["model"] for asked in one.asked] == ["cheap-upstream", "dear-upstream"]
                names = [answer.headers[name] for name in ("x-tollgate-model", "tollgate-answered-by")]
                assert names == ["dear", "dear"]

    run(test)


@pytest.mark.parametrize(("spent", "status"), [(0, 200), (50_000_000, 429)])
def test_the_budget_is_asked_for_the_model_that_bills(tmp_path: Path, spent: int, status: int) -> None:
    async def test() -> None:
        async with upstream(WHOLE) as one:
            paid = served(one)
            gift = replace(paid, models={**paid.models, "fair": free(messages(one, "fair"), name="fair")})
            async with process(tmp_path, gift, caller({"daily_limit": 0.05}), spent=spent) as gateway:
                assert (await gateway.ask(model="auto")).status == status
                image = [{"role": "user", "content": [IMAGE]}]
                assert (await gateway.ask(model="auto", messages=image)).status == 200, "the free model"

    run(test)


@pytest.mark.parametrize(
    ("models", "headers", "status", "words"),
    [
        (["cheap"], {}, 403, 'has no model "auto" here'),
        (["auto"], {}, 403, "auto: this key may not use any of its models"),
        (["auto", "cheap"], {"x-tollgate-max-cost": "0.0000001"}, 400, "the limit is $0.0000001"),
        (["auto", "cheap"], {"x-tollgate-max-cost": "much"}, 400, "expected an amount in USD"),
    ],
)
def test_what_no_candidate_may_or_can_answer_is_refused(
    tmp_path: Path, models: list[str], headers: dict[str, str], status: int, words: str
) -> None:
    async def test() -> None:
        async with (
            upstream(WHOLE) as one,
            process(tmp_path, served(one), caller(team={"models": models})) as gateway,
        ):
            answer = await gateway.ask(model="auto", headers=headers)
            assert answer.status == status and words in answer.told[2]
            assert not one.asked and not gateway.litellm.asked and not gateway.booked()

    run(test)


@pytest.mark.parametrize(
    ("more", "status"),
    [({}, 200), ({"n": 128}, 400), ({"max_completion_tokens": 100_000}, 400), ({"max_tokens": None}, 400)],
    ids=str,
)
def test_no_field_hides_what_a_request_costs(tmp_path: Path, more: dict[str, Any], status: int) -> None:
    """The first is the twin. The usual answer costs four cents, and the limit is three."""

    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, served(one)) as gateway:
            answer = await gateway.ask(model="auto", headers={"x-tollgate-max-cost": "0.03"}, **more)
            assert answer.status == status, answer
            assert len(one.asked) == (status == 200)

    run(test)


def test_a_count_of_tokens_is_not_refused_for_the_longest_answer() -> None:
    long = replace(AUTO, models=tuple(replace(one, max_output=10**6) for one in AUTO.models))
    body = {"model": "auto", "messages": []}

    def choose(path: str) -> str:
        scope = {"path": path, "headers": []}
        return chosen(replace(served(), choices={"auto": long}), "auto", caller(), body, scope).name

    assert choose("/v1/messages/count_tokens") == "cheap"
    with pytest.raises(RefusedError):
        choose("/v1/messages")


def test_a_protocol_of_litellms_is_handed_over_with_the_clients_name(tmp_path: Path) -> None:
    """The replica chooses again, with the same code: the ticket is for the chosen model."""

    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, served(one)) as gateway:
            answer = await gateway.ask("/v1/chat/completions", model="auto")
            assert answer.text == b'{"handed":"over"}'
            assert gateway.metric("handovers_total", reason="protocol") == 1
            assert gateway.litellm.asked[0].body["model"] == "auto"

    run(test)


# ---- the same choice as a replica's hook


class Litellm:
    """The hook with its own choices, in a fake LiteLLM that knows the caller's models."""

    def __init__(self, hook: Any) -> None:
        self.hook = hook

    def choose(
        self, who: Caller, body: Mapping[str, Any], headers: Mapping[str, str], path: str = "/v1/messages"
    ) -> tuple[str, Any]:
        asking = SimpleNamespace(may_use=who.may_use, request_route=path)
        data = {**body, "proxy_server_request": {"headers": headers}}

        async def ask() -> tuple[str, Any]:
            CURRENT.set(ongoing := Ongoing())
            try:
                changed = await self.hook.async_pre_call_hook(asking, None, data, "completion")
            except Exception:  # noqa: BLE001  the fake's exception; what the client gets is the refusal
                return "", ongoing.refusal
            return changed["model"], None

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def litellm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Litellm]:
    async def is_model_authorized_for_token(model: str, valid_token: Any, llm_router: Any) -> bool:
        return bool(valid_token.may_use(model))

    parts = {
        "litellm.proxy.auth.fallback_model_access": {"is_model_authorized_for_token": is_model_authorized_for_token},
        "litellm.proxy.proxy_server": {"llm_router": None},
    }
    directory = tmp_path_factory.mktemp("litellm")
    models = [{**vars(one), "input": str(one.input), "output": str(one.output)} for one in AUTO.models]
    table = {"models": [{**one, "tool_prices": {SEARCH: "0.01"} if one["tool_prices"] else {}} for one in models]}
    (directory / "choices.json").write_text(json.dumps({"auto": {**table, "max_cost": "2"}}))
    with hook("cheapest", directory, parts) as module:
        yield Litellm(module.handler)


def at_gateway(
    who: Caller, body: Mapping[str, Any], headers: Mapping[str, str], path: str = "/v1/messages"
) -> tuple[str, Any]:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    try:
        return chosen(served(), "auto", who, body, {"path": path, "headers": sent}).name, None
    except RefusedError as refused:
        return "", refused.refusal


words = st.sampled_from(["hello", "word " * 1500, "\ud800 half a pair", "é" * 500])
blocks = st.one_of(words.map(lambda said: {"type": "text", "text": said}), st.sampled_from([IMAGE, PDF]))
turns = st.one_of(words, st.lists(blocks, min_size=1, max_size=3)).map(lambda said: {"role": "user", "content": said})
bodies = st.fixed_dictionaries(
    {"model": st.sampled_from(["auto", "claude-router-6175746f"]), "messages": st.lists(turns, max_size=3)},
    optional={
        "max_tokens": st.integers(1, 5000),
        "max_completion_tokens": st.integers(1, 5000),
        "n_predict": st.integers(1, 5000),
        "thinking": st.fixed_dictionaries({"budget_tokens": st.integers(1, 5000)}),
        "n": st.integers(1, 128),
        "tools": st.lists(st.sampled_from([TOOL, SEARCHES]), max_size=2),
        "system": words,
    },
)
paths = st.sampled_from(["/v1/messages", "/v1/chat/completions", "/chat/completions"])
rights = st.lists(st.sampled_from(["auto", "cheap", "fair", "dear"]), unique=True)
costs = st.one_of(st.just({}), st.sampled_from(["0.001", "5", "-1", "x"]).map(lambda usd: {"x-tollgate-max-cost": usd}))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bodies, rights, costs, paths)
def test_both_routes_choose_alike_and_refuse_with_the_same_words(
    litellm: Litellm, body: dict[str, Any], models: list[str], headers: dict[str, str], path: str
) -> None:
    who = caller(team={"models": models})
    assert at_gateway(who, body, headers, path) == litellm.choose(who, body, headers, path)


def test_twin_a_hook_with_another_rule_would_be_noticed(litellm: Litellm, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["tollgate.services.hooks.cheapest"]
    monkeypatch.setattr(module, "choose", lambda *asked: "dear")
    body = {"model": "auto", "messages": []}
    assert at_gateway(caller(), body, {}) != litellm.choose(caller(), body, {})


def test_twin_a_refusal_is_compared_too(litellm: Litellm) -> None:
    who, body = caller(team={"models": ["auto"]}), {"model": "auto", "messages": []}
    name, refusal = litellm.choose(who, body, {})
    assert (name, refusal.status, refusal.kind) == ("", 403, "permission_error")
    assert KEY not in refusal.message
