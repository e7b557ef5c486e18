"""The most that a request can cost on one model, and how long its answer may then be. Pure, and exact.

The promise of `max_cost`: the upper bound of the input, at the most expensive kind of input that the request can cause,
and `max_tokens` of output together cost at most that money. Output cannot cost more, because the model stops at
max_tokens, and reasoning is part of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any

from tollgate_client import server_tools
from tollgate_client.errors import ConfigurationError
from tollgate_client.prices import EXACT, MILLION, Price, Tokens

# An answer that is cut to fewer tokens than this is of no use, unless the caller asked for fewer.
LEAST_TOKENS = 64
# A count is the gateway's estimate: a fifth and 64 tokens more are reserved.
_MARGIN, _MARGIN_TOKENS = 5, 64
# The price in the list does not hold with these, so no promise could be kept.
_MORE_EXPENSIVE = (
    *("web_search_options", "audio", "models", "provider", "route", "preset", "plugins", "fallbacks"),
    *("speed", "inference_geo", "prediction"),
)
_BASE_TIERS = (None, "auto", "default", "standard_only", "flex")


@dataclass(frozen=True)
class Room:
    """`max_tokens` is None where neither the caller nor money sets it. `bound` is USD at most; None without a promise.

    `needed` is what the shortest useful answer would cost at most; a request does `fit` where the money is enough.
    """

    fits: bool
    max_tokens: int | None
    bound: Decimal | None
    needed: Decimal


def reserved(counted: int) -> int:
    """The upper bound of a prompt that the gateway counted."""
    return counted + -(-counted // _MARGIN) + _MARGIN_TOKENS


def room(
    price: Price,
    most_input: int,
    writes_cache: bool,
    answers: int,
    asked: int | None,
    most_output: int | None,
    max_cost: Decimal,
) -> Room:
    """`asked` is the caller's max_tokens, `most_output` the model's, `answers` how many of them (`n`)."""
    with localcontext(EXACT):
        return _room(price, most_input, writes_cache, answers, asked, most_output, max_cost)


def _room(
    price: Price,
    most_input: int,
    writes_cache: bool,
    answers: int,
    asked: int | None,
    most_output: int | None,
    max_cost: Decimal,
) -> Room:
    # Some providers read from a cache without being asked; they write into one only if they are.
    rate = price.most_expensive_input if writes_cache else max(price.input, price.cache_read)
    spent_in = most_input * rate
    limits = [limit for limit in (asked, most_output) if limit is not None]
    longest = min(limits) if limits else None
    least = LEAST_TOKENS if longest is None else min(LEAST_TOKENS, longest)
    each = answers * price.output
    needed = _usd(spent_in + least * each)
    if needed > max_cost:
        return Room(False, None, None, needed)
    if each == 0:
        return Room(True, longest, _usd(spent_in), needed)
    affordable = int(((max_cost * MILLION - spent_in) / each).to_integral_value(ROUND_FLOOR))
    tokens = affordable if longest is None else min(longest, affordable)
    return Room(True, tokens, _usd(spent_in + tokens * each), needed)


def answers_of(more: Mapping[str, Any], messages: Sequence[Mapping[str, Any]] = ()) -> int:
    """How many answers the request asks for; ConfigurationError for what makes the listed price not hold."""
    expensive = sorted(name for name in _MORE_EXPENSIVE if more.get(name) not in (None, []))
    if more.get("service_tier") not in _BASE_TIERS:
        expensive.append("service_tier")
    if more.get("modalities") not in (None, ["text"]):
        expensive.append("modalities")
    # The uses of such a tool have a price and a limit. The tokens that it reads are billed too, and have no limit.
    tools = server_tools.offered({"tools": more.get("tools"), "messages": list(messages)})
    expensive += [f"the tool {name or 'without a name'}, which adds an unknown number of tokens" for name in tools]
    if expensive:
        raise ConfigurationError(f"max_cost cannot be promised with {', '.join(expensive)}. hint: leave it out")
    answers = more.get("n", 1)
    if not isinstance(answers, int) or isinstance(answers, bool) or answers < 1:
        raise ConfigurationError(f"expected n as a whole number from 1, found {answers!r}")
    return answers


def likely(price: Price | None, likely_input: int, likely_output: int) -> Decimal:
    """An estimate to compare models by. A model without a known price counts as the most expensive."""
    if price is None:
        return Decimal("Infinity")
    return price.exactly(Tokens(likely_input, likely_output))


def _usd(times_million: Decimal) -> Decimal:
    """To a billionth of a dollar, upwards: the ledger never books more for as many tokens."""
    return (times_million / MILLION).quantize(Decimal("0.000000001"), ROUND_CEILING)
