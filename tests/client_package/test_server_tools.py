"""Tools that a provider runs: their prices, uses and costs are those of the gateway's ledger."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.client_package.gateway import KEY, Front, entry
from tests.client_package.test_failures import HELLO, asking
from tests.client_package.test_router import routing, user
from tests.support.scripted_upstream import JSON, Answer, Upstream, event, whole_chat, whole_message
from tollgate.config.gateway.catalogue import Catalogue
from tollgate.config.gateway.model import Model
from tollgate.render.listing import listed
from tollgate.render.prices import token_prices, tool_prices
from tollgate.services.gateway.ledger import price as ledger
from tollgate.services.gateway.ledger import usage as booked
from tollgate.services.gateway.passing import PassedMessages
from tollgate.services.requests import paid_tools
from tollgate_client import LiteLLMProvider, Router, server_tools
from tollgate_client.call import StreamReader
from tollgate_client.errors import ConfigurationError, UnknownPriceError
from tollgate_client.messages import Message, MessageEvent
from tollgate_client.model_info import ModelEntry, of_entry
from tollgate_client.part import leniently
from tollgate_client.prices import Price, Tokens, of_gateway, of_pricing
from tollgate_client.routing import money
from tollgate_client.usage_of import of_event

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}
FETCH = {"type": "web_fetch_20250910", "name": "web_fetch", "max_uses": 2}
OWN = {"name": "ls", "input_schema": {"type": "object"}}
TOLD = {"unit": "USD per use", "price": {"web_search": "0.01", "code_execution": "0"}}
PRICING = {"input_per_million": 1, "output_per_million": 5}
SEARCHES = {"server_tools": {"web_search": 0.01}}
EMPTY_LIST = Answer([b'{"data": []}'], headers=JSON)


def added(tool: Any) -> dict[str, Any]:
    """A system message that adds a tool in the middle of a conversation."""
    return {"role": "system", "content": [{"type": "tool_addition", "tool": {"definition": tool}}]}


def call(name: str) -> dict[str, Any]:
    return {"type": "server_tool_use", "id": "s", "name": name}


# ---- the same rules as the ledger's

amounts = st.sampled_from([0, 0.01, 0.0025, 1e-9, 4e-10, 12.5]) | st.floats(0, 100, allow_subnormal=False)
numbers = st.integers(0, 8) | st.sampled_from([None, True, -1, 1.5, 2.0, "2", [], {}])
bounded = st.fixed_dictionaries(
    {"type": st.sampled_from(["web_search_20250305", "web_search_20270101", "dear"]), "max_uses": st.integers(1, 3)}
)
tools = st.lists(bounded, max_size=3).flatmap(
    lambda some: st.permutations([*some, OWN, FETCH, CODE, {"type": "custom", "max_uses": 2}, "no object"])
)
counted = st.dictionaries(st.sampled_from(["web_search_requests", "dear_requests", "web_fetch_requests"]), numbers)
names = st.lists(st.sampled_from(["web_search", "dear", "web_fetch", "other"]), max_size=9)


def model(prices: dict[str, float]) -> Model:
    price = {"input_per_million": 0.37, "output_per_million": 2.1, "server_tools": prices}
    return Model.model_validate({"targets": [{"model": "anthropic/claude"}], "price": price})


def told_price(served: Model) -> Price:
    """As the client reads it from the gateway's list."""
    told = listed(Catalogue({"m": served}, {}, {}, ()))["m"]
    price = of_entry(ModelEntry.model_validate_json(json.dumps({"id": "m", **told}))).price
    assert price is not None
    return price


def books(served: Model, usage: Any, ran: dict[str, int]) -> Decimal:
    """The sum that the ledger books for this usage."""
    a_token = token_prices(served.price)
    prices = {"input": a_token["input_cost_per_token"], "output": a_token["output_cost_per_token"]}
    each = nano(served)
    whole = replace(
        booked.anthropic(usage, booked.Estimate()),
        tools=tuple(booked.Tool(name, count, each[name]) for name, count in ran.items()),
    )
    return ledger.usd(ledger.cost(whole, ledger.Prices.of({kind: f"{price:f}" for kind, price in prices.items()})))


def nano(served: Model) -> dict[str, int]:
    return paid_tools.nano_each(tool_prices(served.price) or {})


@given(st.tuples(amounts, amounts), tools, tools, counted | numbers, names, st.tuples(*[st.integers(0, 10**7)] * 2))
def test_a_whole_answer_costs_what_the_ledger_books(
    each: tuple[float, float], offered: Any, later: Any, said: Any, called: list[str], tokens: tuple[int, int]
) -> None:
    served = model({"web_search": each[0], "dear": each[1], "code_execution": 0})
    body = {"tools": offered, "messages": [added(tool) for tool in later]}
    assume(paid_tools.problem(body, nano(served)) == "")
    usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "server_tool_use": said}
    answer = {"content": [call(name) for name in called], "usage": usage}
    ran = paid_tools.used(said, paid_tools.called(answer["content"]), body, nano(served), ended=True)
    own = leniently(Message, answer)
    assert own.usage is not None
    uses = server_tools.counts(own.usage.server_tool_use, own.called_tools, server_tools.offered(body))
    assert told_price(served).cost(own.usage.tokens(), uses) == books(served, usage, ran)


@given(names, st.lists(st.fixed_dictionaries({"web_search_requests": numbers}) | numbers, min_size=1, max_size=3))
@example([], [{"web_search_requests": 3}, {"web_search_requests": 1}])
@example([], [{"web_search_requests": 1}, {"web_search_requests": 3}, {"web_search_requests": 0}])
@example([], [{"web_search_requests": "2"}, {"web_search_requests": 2}])
@example([], [{"web_search_requests": 2}, {"web_search_requests": "2"}])
@example(["web_search"] * 9, [None])
def test_a_stream_costs_what_the_ledger_books(called: list[str], said: list[Any]) -> None:
    served, body = model({"web_search": 0.01}), {"tools": [SEARCH]}
    first = {"usage": {"input_tokens": 9, "output_tokens": 1, "server_tool_use": said[0]}}
    last = {"stop_reason": "end_turn"}
    events = [
        event("message_start", message=first),
        *[event("content_block_start", index=0, content_block=call(name)) for name in called],
        *[event("message_delta", delta=last, usage={"output_tokens": 5, "server_tool_use": more}) for more in said],
        event("message_stop"),
    ]
    theirs, reader = PassedMessages(), StreamReader(MessageEvent, "")
    usage, seen = None, []
    for piece in events:
        theirs.feed(piece)
        for one in reader.feed(piece):
            usage = of_event(one, usage)
            seen += one.called_tools
    said_last = theirs.counted.get("server_tool_use")
    ran = paid_tools.used(said_last, theirs.tools, body, nano(served), ended=theirs.stop_reason is not None)
    assert usage is not None
    uses = server_tools.counts(usage.server_tool_use, seen, server_tools.offered(body))
    assert told_price(served).cost(usage.tokens(), uses) == books(served, theirs.counted, ran)


def test_the_free_tools_are_those_of_the_gateway() -> None:
    assert server_tools.FREE == paid_tools.FREE


@pytest.mark.parametrize("said", [{"web_search_requests": 2}, {"web_search_requests": 2, "web_fetch_requests": 9}])
def test_without_its_request_an_answer_counts_as_the_provider_says(said: dict[str, int]) -> None:
    price = of_pricing("m", {**PRICING, **SEARCHES})
    uses = server_tools.counts(said, ["web_search"], None)
    assert price.cost(Tokens(), uses) == Decimal("0.02") and price.unpriced(uses) == []


# ---- the prices that the client knows


def test_the_list_says_the_price_of_a_use(gateway: Front) -> None:
    gateway.models = [entry("m", {"input": "1", "output": "5"}, server_tools=TOLD)]
    provider = LiteLLMProvider(gateway.url, KEY)
    assert provider.calculate_cost(1000, 100, "m", server_tools={"web_search": 3}) == Decimal("0.0315")
    assert provider.calculate_cost(0, 0, "m", server_tools={"code_execution": 3, "web_fetch": 9}) == 0
    with pytest.raises(UnknownPriceError, match=r"m has no known price for advisor\. hint: pass server_tools"):
        provider.calculate_cost(0, 0, "m", server_tools={"advisor": 1})
    for wrong in (-1, 1.5, True, "2"):
        with pytest.raises(ConfigurationError, match="uses of web_search"):
            provider.calculate_cost(0, 0, "m", server_tools={"web_search": wrong})  # type: ignore[dict-item]


def test_twin_without_prices_of_tools_a_use_has_none(gateway: Front) -> None:
    gateway.models = [entry("m", {"input": "1", "output": "5"}), entry("gratis", None, free=True)]
    provider = LiteLLMProvider(gateway.url, KEY)
    assert provider.calculate_cost(1000, 100, "m") == provider.calculate_cost(1000, 100, "m", server_tools={})
    with pytest.raises(UnknownPriceError):
        provider.calculate_cost(1000, 100, "m", server_tools={"web_search": 1})
    assert provider.calculate_cost(1000, 100, "gratis", server_tools={"web_search": 1}) == 0, "a free model"


@pytest.mark.parametrize(
    "tools", [None, "x", {"web_search": "0.01"}, {**TOLD, "unit": "USD per 1000 uses"}, {**TOLD, "price": {"a": "-1"}}]
)
def test_prices_of_tools_in_an_unknown_form_are_not_known(tools: Any) -> None:
    price = of_gateway({"unit": "USD per million tokens", "input": "1", "output": "5"}, tools)
    assert price is not None and price.input == 1 and price.unpriced({"web_search": 1}) == ["web_search"]


def test_a_programs_own_price_leaves_the_gateways_tools_in_force(gateway: Front) -> None:
    gateway.models = [entry("m", {"input": "1", "output": "5"}, server_tools=TOLD)]
    asked = {"web_search": 2}
    own = LiteLLMProvider(gateway.url, KEY, {"m": {"pricing": {**PRICING, "input_per_million": 3}}})
    assert own.calculate_cost(1_000_000, 0, "m") == 3 and gateway.paths == [], "twin: tokens alone need no list"
    assert own.calculate_cost(1_000_000, 0, "m", server_tools=asked) == Decimal("3.02")
    dearer = LiteLLMProvider(gateway.url, KEY, {"m": {"pricing": {**PRICING, "server_tools": {"web_search": 1}}}})
    assert dearer.calculate_cost(0, 0, "m", server_tools=asked) == 2
    gratis = LiteLLMProvider("", custom_models={"m": {"pricing": {**PRICING, "server_tools": {}}}})
    assert gratis.calculate_cost(0, 0, "m", server_tools=asked) == 0
    alone = LiteLLMProvider("", custom_models={"m": {"pricing": PRICING}})
    with pytest.raises(UnknownPriceError):
        alone.calculate_cost(0, 0, "m", server_tools=asked)


@pytest.mark.parametrize(
    ("tools", "words"),
    [
        ({"web_search_20250305": 1}, "without its date"),
        ({"Web Search": 1}, "without its date"),
        ({7: 1}, "without its date"),
        ({"web_search": -1}, r"server_tools\.web_search of 0 or more"),
        ({"web_search": True}, "found bool"),
        (0.01, "as a mapping"),
    ],
)
def test_a_price_of_a_tool_that_cannot_be_meant_is_refused(tools: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        of_pricing("m", {**PRICING, "server_tools": tools})


def test_a_price_is_free_only_if_its_tools_are() -> None:
    zero = {"input_per_million": 0, "output_per_million": 0}
    assert of_pricing("m", zero).free and of_pricing("m", {**zero, "server_tools": {"web_search": 0}}).free
    assert not of_pricing("m", {**zero, **SEARCHES}).free


# ---- answers of a gateway


def searched(count: int) -> Answer:
    message = json.loads(whole_message())
    message["usage"]["server_tool_use"] = {"web_search_requests": count}
    return Answer([json.dumps(message).encode()], headers=JSON)


def test_an_answer_remembers_how_often_its_tools_may_run() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        message = await provider.messages_create(HELLO, "m", 50, tools=[SEARCH, OWN])
        assert provider.cost_of(message) == Decimal("0.020046")
        assert provider.cost_of(pickle.loads(pickle.dumps(message))) == Decimal("0.020046")  # noqa: S301  its own words
        more = await provider.messages_create(HELLO, "m", 50, tools=[SEARCH])
        assert provider.cost_of(more) == Decimal("0.000046"), "a count above max_uses is not believed"
        unasked = await provider.messages_create(HELLO, "m", 50)
        assert provider.cost_of(unasked) == Decimal("0.000046"), "the gateway bills only what was asked for"

    known = {"m": {"pricing": {**PRICING, **SEARCHES}}}
    asking(searched(2), searched(4), searched(1), then=then, custom_models=known)


def test_an_answer_with_a_tool_of_unknown_price_has_no_cost() -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        with pytest.raises(UnknownPriceError, match="web_search"):
            provider.cost_of(await provider.messages_create(HELLO, "m", 50, tools=[SEARCH]))
        unused = await provider.messages_create(HELLO, "m", 50, tools=[SEARCH])
        assert provider.cost_of(unused) == Decimal("0.000046"), "twin: a tool that did not run costs nothing"

    asking(searched(1), EMPTY_LIST, searched(0), then=then, custom_models={"m": {"pricing": PRICING}})


# ---- routers


def chat_searched(count: int) -> Answer:
    chat = json.loads(whole_chat())
    chat["usage"]["server_tool_use"] = {"web_search_requests": count}
    return Answer([json.dumps(chat).encode()], headers=JSON)


@pytest.mark.parametrize(("known", "cost"), [(SEARCHES, Decimal("0.020046")), ({}, None)])
def test_the_cost_of_a_route_has_its_tools(known: Any, cost: Decimal | None) -> None:
    async def then(provider: LiteLLMProvider, server: Upstream) -> None:
        answer = await Router({"a": provider}).route_request(HELLO, tools=[SEARCH])
        assert answer.route.cost == answer.route.attempts[0].cost == cost
        assert answer.offered_tools == {"web_search": 3}
        if cost:
            assert provider.cost_of(answer) == cost

    asking(EMPTY_LIST, chat_searched(2), then=then, custom_models={"m": {"pricing": {**PRICING, **known}}})


@pytest.mark.parametrize(
    ("tools", "messages", "name"),
    [
        ([SEARCH], [], "web_search"),
        ([OWN, CODE], [], "code_execution"),
        ([{"type": 7}], [], "without a name"),
        ([], [added(SEARCH)], "web_search"),
    ],
)
def test_max_cost_is_not_promised_with_such_a_tool(gateway: Front, tools: Any, messages: Any, name: str) -> None:
    """Each use has a price and a limit, but nobody knows how many tokens it reads, and each of them is billed."""

    async def test(router: Router, provider: LiteLLMProvider) -> None:
        with pytest.raises(ConfigurationError, match=f"the tool {name}, which adds an unknown number of tokens"):
            await router.route_request([*messages, *user("hello")], max_cost=9, tools=tools)
        assert gateway.paths == [], "no model was asked"

    routing(gateway, test)


def test_twin_functions_of_the_program_are_promised() -> None:
    function = {"type": "function", "function": {"name": "ls", "parameters": {"type": "object"}}}
    assert money.answers_of({"tools": [function, OWN, {"type": "custom", "name": "x"}]}, [added(OWN)]) == 1


def test_the_highest_price_of_two_models_knows_only_equal_tools() -> None:
    search, other = of_pricing("m", {**PRICING, **SEARCHES}), of_pricing("n", PRICING)
    assert search.most_expensive(search).server_tools == search.server_tools
    assert search.most_expensive(other).server_tools is None
