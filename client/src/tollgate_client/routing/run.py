"""One routed request while models are asked: what was tried, what it cost, what may still be spent. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext

from tollgate_client import server_tools
from tollgate_client.errors import (
    AnswerError,
    BudgetSpentError,
    GatewayConnectionError,
    GatewayFaultError,
    MaxCostError,
    NoModelError,
    OverloadedError,
    RateLimitedError,
    TollgateError,
)
from tollgate_client.models import ChatCompletion
from tollgate_client.prices import EXACT, Price
from tollgate_client.routing.plan import Offer, Plan
from tollgate_client.routing.request import Request
from tollgate_client.routing.route import Attempt, Route, RoutedAnswer


@dataclass
class Run:
    """Money is in USD. `last` is the last answer that is paid; `resting` says why a model was skipped."""

    request: Request
    attempts: list[Attempt] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    bound: Decimal = Decimal(0)
    too_expensive: dict[str, Decimal] = field(default_factory=dict)
    resting: dict[str, str] = field(default_factory=dict)
    last: tuple[Offer, ChatCompletion] | None = None
    failure: TollgateError | None = None

    @property
    def left(self) -> Decimal | None:
        return None if self.request.max_cost is None else EXACT.subtract(self.request.max_cost, self.spent)

    def note_too_expensive(self, offer: Offer, needed: Decimal) -> None:
        self.too_expensive[offer.name] = EXACT.add(self.spent, needed)

    def refused(self, offer: Offer, tokens: int | None, bound: Decimal, error: TollgateError) -> None:
        """A call failed. If it may have been paid, its bound counts."""
        paid = _may_be_paid(error)
        if paid:
            self.bound = EXACT.add(self.spent, bound)
        cost = None if paid else Decimal(0)
        self.attempts.append(Attempt(offer.provider, offer.model.name, tokens, cost, type(error).__name__))
        self.failure = error

    def answered(self, offer: Offer, tokens: int | None, bound: Decimal, answer: ChatCompletion) -> None:
        cost = _cost(answer, offer.price_of(answer.priced_model))
        self.bound = EXACT.add(self.spent, bound)
        # LiteLLM does not say when a fallback answered. Without a usage the whole bound counts as spent.
        known = answer.priced_model != answer.asked_model
        most = cost if known else _cost(answer, offer.most_expensive)
        self.spent = EXACT.add(self.spent, bound if most is None else most)
        self.attempts.append(Attempt(offer.provider, offer.model.name, tokens, cost))

    def judged(self, problem: str) -> None:
        self.attempts[-1] = replace(self.attempts[-1], problem=problem)

    def routed(self, plan: Plan, offer: Offer, answer: ChatCompletion, *, passed: bool) -> RoutedAnswer:
        known = [attempt.cost for attempt in self.attempts if attempt.cost is not None]
        with localcontext(EXACT):
            cost = sum(known, Decimal(0)) if len(known) == len(self.attempts) else None
        bound = self.bound if self.request.max_cost is not None else None
        reason, attempts = plan.reason_for(offer), tuple(self.attempts)
        return RoutedAnswer.of(answer, Route(offer.provider, offer.model.name, reason, cost, passed, bound, attempts))

    def problem(self) -> TollgateError:
        """Why no model answered."""
        if self.failure is not None:
            return self.failure
        if self.too_expensive:
            return too_expensive(self.request, self.too_expensive)
        reasons = "; ".join(f"{name}: {why}" for name, why in sorted(self.resting.items()))
        return NoModelError(f"no model can serve this request now ({reasons})", self.resting)


def another_may_serve(error: TollgateError) -> bool:
    """Only if this call was not paid, and only where another model can do better."""
    if isinstance(error, GatewayConnectionError):
        return not error.sent
    if isinstance(error, BudgetSpentError):
        return error.of_model
    return isinstance(error, OverloadedError | RateLimitedError)


def too_expensive(request: Request, needed: Mapping[str, Decimal]) -> MaxCostError:
    cheapest = min(needed, key=lambda name: (needed[name], name))
    return MaxCostError(max_cost=request.max_cost or Decimal(0), cheapest=cheapest, needed=needed[cheapest])


def _may_be_paid(error: TollgateError) -> bool:
    if isinstance(error, GatewayConnectionError):
        return error.sent
    return isinstance(error, AnswerError | GatewayFaultError)


def _cost(answer: ChatCompletion, price: Price | None) -> Decimal | None:
    """None without a price or a usage. Each request has a prompt, so a usage without one is wrong."""
    if answer.usage is None or price is None:
        return None
    tokens = answer.usage.tokens()
    uses = server_tools.counts(answer.usage.server_tool_use, answer.called_tools, answer.offered_tools)
    return price.cost(tokens, uses) if tokens.total > tokens.output and not price.unpriced(uses) else None
