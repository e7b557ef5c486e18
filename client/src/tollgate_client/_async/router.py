"""Chooses a model for each request, asks it, and goes on to another where that helps. It never pays twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from tollgate_client._async.provider import LiteLLMProvider
from tollgate_client.errors import (
    BudgetSpentError,
    ConfigurationError,
    GatewayConnectionError,
    MaxCostError,
    OverloadedError,
    RateLimitedError,
    StatusError,
    TollgateError,
)
from tollgate_client.model_info import Tier
from tollgate_client.models import ChatCompletion
from tollgate_client.routes import Messages
from tollgate_client.routing import checks, plan
from tollgate_client.routing.plan import Offer, Plan
from tollgate_client.routing.request import Request
from tollgate_client.routing.route import Attempt, Route, RoutedAnswer, Selection

Providers = Mapping[str, LiteLLMProvider]


@dataclass
class _Run:
    """One routed request: what was tried, and what it cost."""

    request: Request
    providers: Providers
    attempts: list[Attempt] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    bound: Decimal = Decimal(0)
    too_dear: dict[str, Decimal] = field(default_factory=dict)
    last: tuple[Offer, ChatCompletion] | None = None
    failure: TollgateError | None = None

    @property
    def left(self) -> Decimal | None:
        return None if self.request.max_cost is None else self.request.max_cost - self.spent


class Router:
    """`providers` are the names that answers carry, and where to ask; `strategy` is explained in routing/plan.py."""

    default_strategy = "hybrid"

    def __init__(self, providers: Providers | None = None, strategy: str | None = None) -> None:
        self._providers = dict(providers or {})
        self._strategy = plan.strategy_of(strategy or self.default_strategy)

    def select_model(
        self,
        messages: Messages,
        providers: Providers | None = None,
        max_cost: float | str | Decimal | None = None,
        *,
        strategy: str | None = None,
        quality: Tier | None = None,
        max_tokens: int | None = None,
        **kwargs: Any,
    ) -> Selection:
        """The model that would be asked first, without asking it. With `max_cost` (USD) it fits into that money.

        It counts a byte of the prompt as a token, because it asks nobody; route_request counts with the gateway, and so
        finds more that fit.
        """
        request = Request.of(messages, kwargs, quality, max_tokens, max_cost)
        known = self._known(providers)
        made = self._plan(request, known, strategy)
        too_dear: dict[str, Decimal] = {}
        for offer in made.in_order:
            room = request.room(offer, request.task.most_input, request.max_cost)
            if room is None or room.fits:
                limit = f"; max_tokens {room.max_tokens} keeps it within {request.max_cost} USD" if room else ""
                return Selection(offer.provider, offer.model.name, made.reason_for(offer) + limit)
            too_dear[offer.name] = room.needed
        raise _too_dear(request, too_dear)

    async def route_request(
        self,
        messages: Messages,
        providers: Providers | None = None,
        *,
        strategy: str | None = None,
        max_cost: float | str | Decimal | None = None,
        quality: Tier | None = None,
        max_tokens: int | None = None,
        schema: type[BaseModel] | None = None,
        accept: checks.Accept | None = None,
        **kwargs: Any,
    ) -> RoutedAnswer:
        """The answer, with `route`: provider, model, reason, cost and every attempt.

        `max_cost` (USD) holds for all attempts together; max_tokens is lowered to what it allows, and MaxCostError is
        raised if no model fits. `quality` is the smallest tier. `schema` (a pydantic model) asks for JSON of that form.
        `schema` and `accept` are the checks of cascade and hybrid, beside refused, empty and cut answers. `kwargs` are
        fields of the chat API.
        """
        if schema is not None and "response_format" not in kwargs:
            kwargs["response_format"] = checks.form_of(schema)
        request = Request.of(messages, kwargs, quality, max_tokens, max_cost)
        run = _Run(request, await _reachable(self._known(providers)))
        made = self._plan(request, run.providers, strategy)
        for step in made.steps:
            found = await self._ask_one_of(run, step)
            if found is None:
                continue
            offer, answer = found
            wrong = checks.problem(answer, kwargs.get("response_format"), schema, accept) if made.checked else ""
            run.attempts[-1] = _judged(run.attempts[-1], wrong)
            if not wrong:
                return _routed(run, made, offer, answer, True)
            run.last = found
        if run.last is not None:
            return _routed(run, made, *run.last, False)
        raise run.failure or _too_dear(request, run.too_dear)

    async def _ask_one_of(self, run: _Run, step: Sequence[Offer]) -> tuple[Offer, ChatCompletion] | None:
        """The first answer of a step; None if no model of it fits into the money or takes the request now."""
        for offer in step:
            limits = await self._limits(run, offer)
            if limits is None:
                continue
            tokens, bound = limits
            provider = run.providers[offer.provider]
            try:
                answer = await provider.chat_completion(
                    run.request.messages, offer.model.name, **run.request.fields(tokens)
                )
            except TollgateError as error:
                refused = Attempt(offer.provider, offer.model.name, tokens, Decimal(0), type(error).__name__)
                run.attempts.append(refused)
                if not _another_may_serve(error):
                    raise
                run.failure = error
                continue
            cost = _cost(answer, offer)
            run.bound = run.spent + bound
            # Without a usage the whole bound counts as spent.
            run.spent += cost if cost is not None else bound
            run.attempts.append(Attempt(offer.provider, offer.model.name, tokens, cost))
            return offer, answer
        return None

    async def _limits(self, run: _Run, offer: Offer) -> tuple[int | None, Decimal] | None:
        """max_tokens and the most that the call can cost; None if it does not fit into the money that is left."""
        request = run.request
        room = request.room(offer, request.task.most_input, run.left)
        if room is None:
            return request.max_tokens, Decimal(0)
        if not room.fits or room.max_tokens != request.longest(offer):
            counted = await self._counted(run, offer)
            if counted is not None:
                room = request.room(offer, request.tighter(counted), run.left) or room
        if not room.fits:
            run.too_dear[offer.name] = run.spent + room.needed
            return None
        return room.max_tokens, room.bound or Decimal(0)

    async def _counted(self, run: _Run, offer: Offer) -> int | None:
        """The prompt's tokens as the gateway counts them; None where it cannot."""
        request = run.request
        try:
            return await run.providers[offer.provider].count_tokens(
                request.messages, offer.model.name, tools=request.more.get("tools")
            )
        except StatusError:
            return None

    def _plan(self, request: Request, providers: Providers, strategy: str | None) -> Plan:
        chosen = plan.strategy_of(strategy) if strategy else self._strategy
        offers = [offer for name, provider in sorted(providers.items()) for offer in _offers(name, provider)]
        priced = request.max_cost is not None
        return plan.make(request.task, offers, chosen, request.quality, request.max_tokens, priced=priced)

    def _known(self, providers: Providers | None) -> Providers:
        known = self._providers if providers is None else providers
        if not known:
            raise ConfigurationError('expected providers, such as {"gateway": LiteLLMProvider()}; found none')
        return known


class HeuristicRouter(Router):
    """A Router whose strategy is `heuristic` unless you say otherwise."""

    default_strategy = "heuristic"


async def _reachable(providers: Providers) -> Providers:
    """Those whose models are known now. It raises only if there is no such provider."""
    reached: dict[str, LiteLLMProvider] = {}
    failure: TollgateError | None = None
    for name, provider in providers.items():
        try:
            await provider.refresh_models()
        except GatewayConnectionError as error:
            failure = error
        else:
            reached[name] = provider
    if failure and not reached:
        raise failure
    return reached


def _offers(name: str, provider: LiteLLMProvider) -> list[Offer]:
    models = [provider.get_model_info(model) for model in provider.get_supported_models()]
    return [Offer(name, model, provider.availability.why_not(model.name, model.rate_limits)) for model in models]


def _another_may_serve(error: TollgateError) -> bool:
    """Only if this call was not paid, and only where another model can do better."""
    if isinstance(error, GatewayConnectionError):
        return not error.sent
    if isinstance(error, BudgetSpentError):
        return error.of_model
    return isinstance(error, OverloadedError | RateLimitedError)


def _cost(answer: ChatCompletion, offer: Offer) -> Decimal | None:
    if answer.usage is None or offer.model.price is None:
        return None
    return offer.model.price.cost(answer.usage.tokens())


def _judged(attempt: Attempt, problem: str) -> Attempt:
    return Attempt(attempt.provider, attempt.model, attempt.max_tokens, attempt.cost, problem)


def _routed(run: _Run, made: Plan, offer: Offer, answer: ChatCompletion, passed: bool) -> RoutedAnswer:
    known = [attempt.cost for attempt in run.attempts if attempt.cost is not None]
    bound = run.bound if run.request.max_cost is not None else None
    cost = sum(known, Decimal(0)) if len(known) == len(run.attempts) else None
    route = Route(offer.provider, offer.model.name, made.reason_for(offer), cost, passed, bound, tuple(run.attempts))
    return RoutedAnswer.of(answer, route)


def _too_dear(request: Request, needed: Mapping[str, Decimal]) -> MaxCostError:
    cheapest = min(needed, key=lambda name: (needed[name], name))
    return MaxCostError(max_cost=request.max_cost or Decimal(0), cheapest=cheapest, needed=needed[cheapest])
