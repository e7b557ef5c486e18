"""A `cheapest` choice never computes less for a request than the gateway reserves for it."""

from __future__ import annotations

import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.services.gateway.process import model
from tollgate.services.choice import candidates
from tollgate.services.choice.candidates import Candidate, cost, needs
from tollgate.services.gateway.booking import reserved
from tollgate.services.gateway.call import Call
from tollgate.services.gateway.catalogue import Protocol
from tollgate.services.gateway.ledger.price import NANO_PER_USD, Prices
from tollgate.services.requests.estimate import input_tokens
from tollgate.services.requests.fields import OUTPUT, OUTPUT_INSIDE
from tollgate.services.requests.paid_tools import nano_each
from tollgate.services.requests.routes import Api

USD = {"input": "0.000003", "output": "0.000015"}
TOOLS = nano_each({"web_search": "0.01"})


def encoded(kind: str, media_type: str, letters: int) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "base64", "media_type": media_type, "data": "A" * letters}}


sizes = st.sampled_from([0, 5, 90_000, 3_000_000])
hidden = {"type": "base64", "media_type": "image/png", "data": "word " * 8000}
blocks = st.one_of(
    st.just({"type": "tool_use", "id": "t", "name": "x", "input": hidden}),
    sizes.map(lambda size: encoded("document", "application/pdf", size)),
    sizes.map(lambda size: encoded("image", "image/png", size)),
    sizes.map(lambda size: encoded("document", "image/png", size)),
    sizes.map(
        lambda size: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * size}"}},
    ),
    sizes.map(
        lambda size: {"type": "tool_use", "id": "t", "name": "x", "input": {"type": "image", "data": "A" * size}}
    ),
    st.text(max_size=40).map(lambda text: {"type": "text", "text": text}),
    st.sampled_from([{}, [], 1, 2.5, None, True, [[]] * 30, list(range(50))]),
)
turns = st.builds(lambda content: {"role": "user", "content": content}, st.lists(blocks, max_size=4))
numbers = st.integers(1, 10**6)
bodies = st.fixed_dictionaries(
    {"messages": st.lists(turns, max_size=4)},
    optional={
        **dict.fromkeys(OUTPUT, numbers),
        **{outer: st.fixed_dictionaries({inner: numbers}) for outer, inner in OUTPUT_INSIDE},
        "n": st.integers(1, 128),
        "best_of": st.integers(1, 128),
        "system": st.text(max_size=40),
        "tools": st.lists(st.just({"type": "web_search_20250305", "name": "web_search", "max_uses": 7}), max_size=2),
        "output_config": st.just({"format": {"schema": {"type": "object"}}}),
    },
)


def both(body: dict[str, Any], protocol: Protocol, most: int | None) -> tuple[int, int]:
    """In nano-dollars: the price for `cheapest`, and what is reserved."""
    one = Candidate("m", Decimal(USD["input"]), Decimal(USD["output"]), None, most, True, True, TOOLS)
    price = math.ceil(cost(one, needs(body, Api(protocol.value))) * NANO_PER_USD)
    call = cast("Call", SimpleNamespace(parsed=body, protocol=protocol, input_tokens=input_tokens(body)))
    return price, reserved(call, model(prices=Prices.of(USD), max_output_tokens=most, tool_prices=TOOLS))[1]


@settings(max_examples=300, deadline=None)
@given(bodies, st.sampled_from(Protocol), st.sampled_from([None, 500, 64_000]))
def test_the_price_of_a_choice_is_never_below_the_reservation(
    body: dict[str, Any], protocol: Protocol, most: int | None
) -> None:
    price, held = both(body, protocol, most)
    assert price >= held


def test_twin_without_tools_and_answers_it_would_be_below(monkeypatch: pytest.MonkeyPatch) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 7}
    body = {"messages": [], "max_tokens": 1000, "n": 100, "tools": [search]}
    price, held = both(body, Protocol.CHAT, None)
    assert price >= held > 7 * 10_000_000 + 100 * 1000 * 15_000
    monkeypatch.setattr(candidates.paid_tools, "most", lambda body, prices: 0)
    assert both(body, Protocol.CHAT, None)[0] < held
