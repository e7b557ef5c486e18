"""The order in which models are asked. Pure: the same request, models and prices give the same plan.

    heuristic       the tier that the request wants, the cheapest first; then larger tiers; then smaller ones
    cost_optimized  the cheapest first, of the wanted `quality` or more if you gave one
    cascade         the cheapest of each tier, small to large, until an answer passes the checks
    hybrid          like cascade, but it begins with the tier that the request wants

A step holds models that can replace each other: the next is asked if one is overloaded. The next step is asked if an
answer did not pass the checks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, get_args

from tollgate_client.errors import ConfigurationError, NoModelError
from tollgate_client.model_info import TIERS, ModelInfo, Tier
from tollgate_client.prices import Price
from tollgate_client.routing import money
from tollgate_client.routing.task import Task

Strategy = Literal["heuristic", "cost_optimized", "cascade", "hybrid"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
# Output tokens that a comparison of prices assumes without max_tokens.
LIKELY_OUTPUT = 500


@dataclass(frozen=True)
class Offer:
    """A model of a provider; `why_not` says why it should not be asked now, or is empty.

    `others` are the models that the gateway lets answer in its place.
    """

    provider: str
    model: ModelInfo
    why_not: str = ""
    others: tuple[ModelInfo, ...] = ()

    @property
    def most_expensive(self) -> Price | None:
        """The highest price that the call can have; None if one of the prices is not known."""
        prices = [model.price for model in (self.model, *self.others)]
        known = [price for price in prices if price is not None]
        return reduce(Price.most_expensive, known) if len(known) == len(prices) else None

    def price_of(self, answered_by: str) -> Price | None:
        """The price of an answer. Without the gateway's word who gave it, the highest."""
        for model in (self.model, *self.others):
            if model.name == answered_by:
                return model.price
        return self.most_expensive

    @property
    def name(self) -> str:
        return f"{self.provider}/{self.model.name}"


@dataclass(frozen=True)
class Plan:
    """`steps` in order; each has at least one offer. `left_out` maps "provider/model" to the reason."""

    steps: Sequence[Sequence[Offer]]
    strategy: Strategy
    task: Task
    left_out: dict[str, str]

    @property
    def checked(self) -> bool:
        """Whether an answer that does not pass leads to the next step."""
        return self.strategy in ("cascade", "hybrid")

    @property
    def in_order(self) -> list[Offer]:
        return [offer for step in self.steps for offer in step]

    def reason_for(self, offer: Offer) -> str:
        """A sentence for people: why `offer`, and whether cheaper or nearer ones were not possible."""
        first = self.steps[0][0]
        if offer == first:
            return _reason(self.strategy, self.task, first)
        return f"{offer.name} ({offer.model.tier}) comes after {first.name}, which did not serve"


def strategy_of(name: str) -> Strategy:
    for strategy in STRATEGIES:
        if name == strategy:
            return strategy
    raise ConfigurationError(f"expected the strategy {', '.join(STRATEGIES)}; found {name!r}")


def make(
    task: Task,
    offers: Sequence[Offer],
    strategy: Strategy,
    quality: Tier | None,
    max_tokens: int | None,
    *,
    priced: bool,
) -> Plan:
    """`priced` leaves out models without a known price. NoModelError says for each model why it was left out."""
    left_out = {offer.name: why for offer in offers if (why := _why_not(task, offer, max_tokens, priced))}
    able = [offer for offer in offers if offer.name not in left_out]
    if not able:
        reasons = "; ".join(f"{name}: {why}" for name, why in sorted(left_out.items())) or "no provider has models"
        raise NoModelError(f"no model can serve this request ({reasons})", left_out)
    output = LIKELY_OUTPUT if max_tokens is None else max_tokens
    # Equal prices are ordered by name, so that the order never depends on the providers' order.
    able.sort(key=lambda offer: (money.likely(offer.model.price, task.likely_input, output), offer.name))
    steps = _steps(able, task.wanted, quality, strategy)
    return Plan(steps, strategy, task, left_out)


def _why_not(task: Task, offer: Offer, max_tokens: int | None, priced: bool) -> str:
    model = offer.model
    if model.mode != "chat":
        return f"it is for {model.mode}, not for chat"
    missing = sorted(need for need in task.needs if not model.can(need))
    if missing:
        return f"it has no {', '.join(missing)}"
    if model.context_tokens is not None and task.likely_input + (max_tokens or 0) > model.context_tokens:
        return f"its context has room for {model.context_tokens} tokens, about {task.likely_input} are needed"
    if priced and offer.most_expensive is None:
        return "its price is not known" if model.price is None else "the price of one of its fallbacks is not known"
    return offer.why_not


def _steps(able: list[Offer], wanted: Tier, quality: Tier | None, strategy: Strategy) -> list[list[Offer]]:
    """`able` is sorted by price."""
    by_tier = {tier: [offer for offer in able if offer.model.tier == tier] for tier in TIERS}
    floor = TIERS.index(wanted if strategy in ("heuristic", "hybrid") else quality or "small")
    up = [by_tier[tier] for tier in TIERS[floor:] if by_tier[tier]]
    down = [by_tier[tier] for tier in reversed(TIERS[:floor]) if by_tier[tier]]
    if strategy == "cost_optimized":
        enough = [offer for offer in able if TIERS.index(offer.model.tier) >= floor]
        return [enough or able]
    if strategy == "heuristic":
        return [[offer for tier in (*up, *down) for offer in tier]]
    # If the wanted tier is missing and nothing larger exists, use the largest tier that there is.
    return up or down[:1]


def _reason(strategy: Strategy, task: Task, first: Offer) -> str:
    tier = first.model.tier
    if strategy == "cost_optimized":
        return f"{first.name} ({tier}) is the cheapest that can do it"
    if strategy == "cascade":
        return f"{first.name} ({tier}) is asked first; larger models only if its answer does not pass"
    reason = f"the request wants a {task.wanted} model, because {task.why}; {first.name} ({tier}) is the cheapest "
    return reason + ("of these" if tier == task.wanted else "of the nearest tier")
