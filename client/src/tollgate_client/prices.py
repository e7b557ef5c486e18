"""Prices: exact decimals in USD per million tokens, and the units in which people write them.

A program may write a price in three ways, each for `input` and `output`, and optionally `cache_read`,
`cache_write_5m` and `cache_write_1h`:

    {"input": 0.003, "output": 0.015}                            USD per 1,000 tokens
    {"input_per_million": 3, "output_per_million": 15}           USD per million tokens
    {"unit": "USD per million tokens", "input": 3, "output": 15}   the unit in words; also "USD per 1000 tokens"

Each can have `"server_tools": {"web_search": 0.01}`: USD for one use of a tool that the provider runs, in every unit of
tokens. `{}` says that all such tools are free.

Everything that could mean two things is refused: both forms together, one price without the other, names that are not
in this list, and a bare number that only makes sense per million.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_HALF_UP, Context, Decimal, InvalidOperation

from tollgate_client import server_tools
from tollgate_client.errors import ConfigurationError

MILLION = Decimal(1_000_000)
PER_MILLION, PER_THOUSAND, PER_USE = "USD per million tokens", "USD per 1000 tokens", "USD per use"
KINDS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
# 1,000 USD per million tokens: no model costs that, so a bare number from here on was meant per million.
_IMPLAUSIBLE = Decimal(1)
# The gateway books whole nano-dollars.
_NANO = Decimal("0.000000001")
# The program's own decimal context could round to few digits.
EXACT = Context(prec=60, traps=[InvalidOperation])
# USD. No price and no budget is larger.
_MOST = Decimal(10**12)
_SUFFIX = "_per_million"
_TOOLS = "server_tools"
_TOOL = re.compile(r"(?!.*_\d{8}$)[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind of price. `input` is without what the cache read and wrote; no token is counted twice."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0

    @classmethod
    def of_prompt(cls, prompt: int, output: int, read: int = 0, written: int = 0, of_hour: int = 0) -> Tokens:
        """From a `prompt` that contains what the cache `read` and `written` (`of_hour` of that for an hour)."""
        counts = (prompt, output, read, written, of_hour)
        if any(not isinstance(count, int) or isinstance(count, bool) for count in counts):
            raise ConfigurationError(f"expected token counts as whole numbers, found {counts!r}")
        if min(counts) < 0:
            raise ConfigurationError("expected token counts of 0 or more")
        if read + written > prompt:
            raise ConfigurationError(f"expected at most {prompt} cached tokens in {prompt}, found {read + written}")
        if of_hour > written:
            raise ConfigurationError(
                f"expected at most {written} tokens written for an hour, as many as were written; found {of_hour}. "
                "hint: cache_write_tokens contains cache_write_1h_tokens"
            )
        return cls(prompt - read - written, output, read, written - of_hour, of_hour)

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(*(getattr(self, kind) + getattr(other, kind) for kind in KINDS))

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_read + self.cache_write_5m + self.cache_write_1h


@dataclass(frozen=True)
class Price:
    """USD per million tokens. Cache kinds without a price of their own cost as the gateway bills them.

    `server_tools` is USD for one use of each tool that the provider runs. It is None where nothing is known about
    them, and empty where all of them are free.
    """

    input: Decimal
    output: Decimal
    cache_read: Decimal
    cache_write_5m: Decimal
    cache_write_1h: Decimal
    server_tools: Mapping[str, Decimal] | None = field(default=None, hash=False, kw_only=True)

    @classmethod
    def of(cls, prices: Mapping[str, Decimal], tools: Mapping[str, Decimal] | None = None) -> Price:
        written = prices.get("cache_write_5m", prices["input"])
        return cls(
            input=prices["input"],
            output=prices["output"],
            cache_read=prices.get("cache_read", prices["input"]),
            cache_write_5m=written,
            cache_write_1h=prices.get("cache_write_1h", written),
            server_tools=tools,
        )

    @property
    def free(self) -> bool:
        tools = (self.server_tools or {}).values()
        return not any(getattr(self, kind) for kind in KINDS) and not any(tools)

    def unpriced(self, uses: Mapping[str, int]) -> list[str]:
        """The tools among `uses` whose price is not known."""
        if self.server_tools is not None and not self.server_tools:
            return []
        return sorted(name for name in uses if name not in server_tools.FREE and name not in (self.server_tools or {}))

    def cost(self, tokens: Tokens, uses: Mapping[str, int] | None = None) -> Decimal:
        """USD, rounded as the gateway's ledger does: to a billionth of a dollar, half of it upwards.

        `uses` says how often each tool ran; none of them may be `unpriced`. The price of one use is rounded upwards.
        """
        total = self.exactly(tokens).quantize(_NANO, ROUND_HALF_UP, EXACT)
        known = self.server_tools or {}
        for name, count in (uses or {}).items():
            each = known.get(name, Decimal(0)).quantize(_NANO, ROUND_CEILING, EXACT)
            total = EXACT.add(total, EXACT.multiply(each, Decimal(count)))
        return total

    def exactly(self, tokens: Tokens) -> Decimal:
        """USD of the tokens alone, not rounded."""
        total = Decimal(0)
        for kind in KINDS:
            total = EXACT.add(total, EXACT.multiply(getattr(self, kind), Decimal(getattr(tokens, kind))))
        return EXACT.divide(total, MILLION)

    def most_expensive(self, other: Price) -> Price:
        """For each kind of token the higher price of both. Prices of tools that differ are not known then."""
        tools = self.server_tools if self.server_tools == other.server_tools else None
        return Price(*(max(getattr(self, kind), getattr(other, kind)) for kind in KINDS), server_tools=tools)

    @property
    def most_expensive_input(self) -> Decimal:
        return max(self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h)


FREE = Price(*[Decimal(0)] * len(KINDS), server_tools={})


def of_gateway(stated: object, tools: object = None) -> Price | None:
    """The `price` and `server_tools` of the gateway's list.

    None where the price is null, or in a unit that this version does not know.
    """
    if not isinstance(stated, Mapping) or stated.get("unit") != PER_MILLION:
        return None
    try:
        prices = {kind: _number(kind, stated[kind]) for kind in KINDS if stated.get(kind) is not None}
    except ConfigurationError:
        return None
    return Price.of(prices, _tools_of_gateway(tools)) if {"input", "output"} <= prices.keys() else None


def _tools_of_gateway(stated: object) -> dict[str, Decimal] | None:
    each = stated.get("price") if isinstance(stated, Mapping) and stated.get("unit") == PER_USE else None
    if not isinstance(each, Mapping):
        return None
    try:
        return {name: _number(name, amount) for name, amount in each.items()}
    except ConfigurationError:
        return None


def of_pricing(model: str, pricing: Mapping[str, object]) -> Price:
    """The `pricing` of a custom model. ConfigurationError names all that is wrong, and says what to write."""
    if not isinstance(pricing, Mapping):
        raise ConfigurationError(f"expected pricing of {model} as a mapping, found {type(pricing).__name__}")
    problems = list(_problems(pricing))
    if problems:
        raise ConfigurationError("\n".join(f"error: pricing of {model}: {problem}" for problem in problems))
    factor = Decimal(1) if _is_per_million(pricing) else Decimal(1000)
    named = {name.removesuffix(_SUFFIX): value for name, value in pricing.items() if name not in ("unit", _TOOLS)}
    stated = pricing.get(_TOOLS)
    tools = {name: _number(name, value) for name, value in stated.items()} if isinstance(stated, Mapping) else None
    return Price.of({kind: EXACT.multiply(_number(kind, value), factor) for kind, value in named.items()}, tools)


def usd(name: str, value: object) -> Decimal:
    """An amount of money as a decimal. A float counts as the digits that it prints."""
    return _number(name, value)


def _is_per_million(pricing: Mapping[str, object]) -> bool:
    return pricing.get("unit") == PER_MILLION or any(name.endswith(_SUFFIX) for name in pricing)


def _problems(pricing: Mapping[str, object]) -> Iterator[str]:
    names = [str(name) for name in pricing if name not in ("unit", _TOOLS)]
    bare = [name for name in names if name in KINDS]
    million = [name for name in names if name.removesuffix(_SUFFIX) in KINDS and name.endswith(_SUFFIX)]
    for name in sorted(set(names) - {*bare, *million}):
        yield f"expected {', '.join(KINDS)}, bare or with {_SUFFIX}, or {_TOOLS}; found {name!r}"
    unit = pricing.get("unit")
    if unit not in (None, PER_MILLION, PER_THOUSAND):
        yield f"expected the unit {PER_MILLION!r} or {PER_THOUSAND!r}, found {unit!r}"
    if bare and million:
        yield f"{bare[0]} is per 1,000 tokens and {million[0]} per million. hint: write all of them in one unit"
    if million and unit == PER_THOUSAND:
        yield f"{million[0]} contradicts the unit {unit!r}. hint: leave the unit out"
    priced = {name.removesuffix(_SUFFIX) for name in (*bare, *million)}
    for kind in ("input", "output"):
        if kind not in priced:
            yield f"expected a price for {kind}, found none. hint: write 0 if it costs nothing"
    for name in (*bare, *million):
        try:
            number = _number(name, pricing[name])
        except ConfigurationError as error:
            yield str(error)
            continue
        if name in bare and unit is None and number >= _IMPLAUSIBLE:
            yield (
                f"{name} {number} without a unit is USD per 1,000 tokens, so {number * 1000} per million. "
                f"hint: write {name}{_SUFFIX} if you mean that"
            )
    yield from _problems_of_tools(pricing.get(_TOOLS))


def _problems_of_tools(stated: object) -> Iterator[str]:
    if stated is not None and not isinstance(stated, Mapping):
        yield f"expected {_TOOLS} as a mapping of names to USD for one use, found {type(stated).__name__}"
        return
    for name, value in (stated or {}).items():
        if not isinstance(name, str) or not _TOOL.fullmatch(name):
            yield f"expected a tool's type without its date, as in web_search; found {str(name)[:64]!r} in {_TOOLS}"
            continue
        try:
            _number(f"{_TOOLS}.{name}", value)
        except ConfigurationError as error:
            yield str(error)


def _number(name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ConfigurationError(f"expected {name} as a number, found {type(value).__name__}")
    try:
        number = value if isinstance(value, Decimal) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number < 0 or number > _MOST:
        raise ConfigurationError(f"expected {name} of 0 or more in USD, found {str(value)[:40]!r}")
    return number
