"""The cost of a call, in whole numbers only.

A price is a count of nano-dollars for a million tokens, so 0.000000000000001 USD a token is 1. A cost is a count of
nano-dollars. No float is involved anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, InvalidOperation
from typing import Any

from tollgate.services.gateway.ledger.usage import Usage

MILLION = 1_000_000
NANO_PER_USD = 1_000_000_000
# A thousand dollars a token. A larger price is a mistake in the catalogue, and its cost might not fit into a column.
LARGEST = 1_000 * NANO_PER_USD * MILLION
_EXACT = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Prices:
    """Nano-dollars for a million tokens of each kind."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @classmethod
    def of(cls, texts: Mapping[str, Any]) -> Prices:
        """From the catalogue: USD a token as decimal texts, by the names above.

        Tokens of the cache without a price of their own cost the price of input, and the write for an hour the price
        of the write for five minutes, so no token is free by omission. ValueError names a price that is not one.
        """
        named = {name: _nano_a_million(name, text) for name, text in texts.items() if name in cls.__slots__}
        if "input" not in named or "output" not in named:
            raise ValueError(f"expected prices for input and output, found {', '.join(sorted(named)) or 'none'}")
        named.setdefault("cache_read", named["input"])
        named.setdefault("cache_write_5m", named["input"])
        named.setdefault("cache_write_1h", named["cache_write_5m"])
        return cls(**named)

    def plain(self) -> list[int]:
        """For a line of the journal; `Prices(*plain)` reads it."""
        return [self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h]


FREE = Prices()


def cost(usage: Usage, prices: Prices) -> int:
    """Nano-dollars for the whole call. The sum is exact and rounded once: half a nano-dollar or more counts as one.

    Reasoning tokens are part of the output and are not counted again.
    """
    exact = (
        usage.input * prices.input
        + usage.output * prices.output
        + usage.cache_read * prices.cache_read
        + usage.cache_write_5m * prices.cache_write_5m
        + usage.cache_write_1h * prices.cache_write_1h
    )
    return (exact + MILLION // 2) // MILLION + sum(tool.uses * tool.nano_each for tool in usage.tools)


def usd(nano: int) -> Decimal:
    """Nano-dollars as dollars, exactly."""
    return Decimal(nano).scaleb(-9, _EXACT)


def _nano_a_million(name: str, text: Any) -> int:
    """A price that is finer than a nano-dollar a million tokens is rounded up: a token with a price is never free."""
    if not isinstance(text, str):
        raise ValueError(f"expected the price of {name} as a text such as 0.0000012, found {type(text).__name__}")
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"expected the price of {name} in USD a token, found {text[:40]!r}") from None
    if not price.is_finite() or price < 0 or price > LARGEST // (NANO_PER_USD * MILLION):
        raise ValueError(f"expected the price of {name} from 0 to 1000 USD a token, found {text[:40]!r}")
    return int(price.scaleb(15, _EXACT).to_integral_value(ROUND_CEILING, _EXACT))
