"""Prices and costs are whole numbers, and exactly what a calculation on paper gives."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.gateway.ledger.price import FREE, Prices, cost, usd
from tollgate.services.gateway.ledger.usage import LARGEST, Usage

TEXTS = {"input": "0.000001", "output": "0.000005", "cache_read": "0.0000001", "cache_write_5m": "0.00000125"}


def test_prices_of_the_catalogue() -> None:
    found = Prices.of({**TEXTS, "cache_write_1h": "2e-06", "name": "unknown words are left alone"})
    assert found == Prices(1_000_000_000, 5_000_000_000, 100_000_000, 1_250_000_000, 2_000_000_000)
    assert Prices(*found.plain()) == found


def test_no_token_is_free_by_omission() -> None:
    found = Prices.of({"input": "0.000001", "output": "0"})
    assert found == Prices(10**9, 0, 10**9, 10**9, 10**9)
    assert Prices.of(TEXTS).cache_write_1h == Prices.of(TEXTS).cache_write_5m


@pytest.mark.parametrize(
    "text", [0.000001, 1, None, True, "", "cheap", "-0.1", "NaN", "Infinity", "1001", "1e999999", "0x1"]
)
def test_what_is_no_price_is_named(text: Any) -> None:
    with pytest.raises(ValueError, match="price of output"):
        Prices.of({"input": "0.000001", "output": text})


def test_a_catalogue_without_prices_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected prices for input and output, found none"):
        Prices.of({})
    with pytest.raises(ValueError, match="found input"):
        Prices.of({"input": "0"})


def test_a_price_is_never_rounded_to_nothing() -> None:
    """LiteLLM's list is made of floats, so a text may have 17 digits."""
    assert Prices.of({"input": "8.333333333333334e-08", "output": "1e-40"}).plain()[:2] == [83_333_334, 1]


def test_a_cost_on_paper() -> None:
    prices = Prices.of({**TEXTS, "cache_write_1h": "0.000002"})
    # 12 + 50 * 5 + 2000 / 10 + 10 * 1.25 + 20 * 2 millionths of a dollar
    assert usd(cost(Usage(12, 50, 2000, 10, 20, reasoning=40), prices)) == Decimal("0.0005145")
    assert cost(Usage(10**6, 10**6), FREE) == 0


@pytest.mark.parametrize(("tokens", "nano"), [(0, 0), (1, 0), (4, 0), (5, 1), (14, 1), (15, 2)])
def test_half_a_nano_dollar_counts_as_one(tokens: int, nano: int) -> None:
    assert cost(Usage(tokens), Prices(input=100_000)) == nano


def test_the_largest_cost_is_exact() -> None:
    assert usd(cost(Usage(LARGEST), Prices.of({"input": "1000", "output": "0"}))) == Decimal(1000 * LARGEST)


@given(
    st.lists(st.integers(0, LARGEST), min_size=5, max_size=5), st.lists(st.integers(0, 10**12), min_size=5, max_size=5)
)
def test_a_cost_is_the_exact_sum_to_half_a_nano_dollar(tokens: list[int], prices: list[int]) -> None:
    plain, output, read, five, hour = tokens
    exact = sum((Decimal(a) * Decimal(b) / 10**6 for a, b in zip(tokens, [*prices], strict=True)), Decimal(0))
    found = cost(Usage(plain, output, read, five, hour), Prices(prices[0], prices[1], prices[2], prices[3], prices[4]))
    assert abs(Decimal(found) - exact) <= Decimal("0.5")
