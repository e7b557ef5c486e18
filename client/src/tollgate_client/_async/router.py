"""Chooses a model for each request, asks it, and goes on to another where that helps. It never pays twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from tollgate_client import routes
from tollgate_client._async.provider import LiteLLMProvider
from tollgate_client.errors import (
    AnswerError,
    ConfigurationError,
    GatewayConnectionError,
    StatusError,
    TollgateError,
    is_away,
)
from tollgate_client.model_info import ModelInfo, RateLimits, Tier
from tollgate_client.models import ChatCompletion
from tollgate_client.routes import Messages
from tollgate_client.routing import checks, plan
from tollgate_client.routing.plan import Offer, Plan
from tollgate_client.routing.request import Request
from tollgate_client.routing.route import RoutedAnswer, Selection
from tollgate_client.routing.run import Run, another_may_serve, too_expensive

Providers = Mapping[str, LiteLLMProvider]


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
        plan = self._plan(request, _listed(self._known(providers)), strategy)
        needed: dict[str, Decimal] = {}
        for offer in plan.in_order:
            room = request.room(offer, request.task.most_input, request.max_cost)
            if room is None or room.fits:
                limit = f"; max_tokens {room.max_tokens} keeps it within {request.max_cost} USD" if room else ""
                return Selection(offer.provider, offer.model.name, plan.reason_for(offer) + limit)
            needed[offer.name] = room.needed
        raise too_expensive(request, needed)

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
        checks.check(schema, accept)
        if schema is not None and "response_format" not in kwargs:
            kwargs["response_format"] = checks.form_of(schema)
        run = Run(Request.of(messages, kwargs, quality, max_tokens, max_cost))
        reached = await _reachable(self._known(providers))
        plan = self._plan(run.request, reached, strategy)
        for step in plan.steps:
            try:
                answered = await self._ask_one_of(run, reached, step, plan.in_order[-1])
            except TollgateError:
                if run.last is None:
                    raise
                # An answer is paid already. It is not lost because the next model failed.
                break
            if answered is None:
                continue
            offer, answer = answered
            wrong = checks.problem(answer, kwargs.get("response_format"), schema, accept) if plan.checked else ""
            run.judged(wrong)
            if not wrong:
                return run.routed(plan, offer, answer, passed=True)
            run.last = answered
        if run.last is not None:
            return run.routed(plan, *run.last, passed=False)
        raise run.problem()

    async def _ask_one_of(
        self, run: Run, providers: Providers, step: Sequence[Offer], last: Offer
    ) -> tuple[Offer, ChatCompletion] | None:
        """The first answer of a step; None if no model of it fits into the money or takes the request now."""
        for offer in step:
            provider = providers[offer.provider]
            limits = await self._limits(run, provider, offer)
            if limits is None:
                continue
            tokens, bound = limits
            # Other calls of this program may have used the model meanwhile.
            if why := provider.availability.why_not(offer.model.name, offer.model.rate_limits):
                run.resting[offer.name] = why
                continue
            try:
                # The router waits only for the last model. In place of any other model it asks the next one.
                call = routes.chat(run.request.messages, offer.model.name, False, run.request.fields(tokens))
                call = replace(call, once=offer is not last)
                answer = await provider.ask(ChatCompletion, call, offer.model.name)
            except TollgateError as error:
                run.refused(offer, tokens, bound, error)
                if not another_may_serve(error):
                    raise
                continue
            run.answered(offer, tokens, bound, answer)
            return offer, answer
        return None

    async def _limits(self, run: Run, provider: LiteLLMProvider, offer: Offer) -> tuple[int | None, Decimal] | None:
        """max_tokens and the most that the call can cost; None if it does not fit into the money that is left."""
        request = run.request
        room = request.room(offer, request.task.most_input, run.left)
        if room is None:
            return request.max_tokens, Decimal(0)
        if not room.fits or room.max_tokens != request.longest(offer):
            counted = await _counted(request, provider, offer)
            if counted is not None:
                room = request.room(offer, request.tighter(counted), run.left) or room
        if not room.fits:
            run.note_too_expensive(offer, room.needed)
            return None
        return room.max_tokens, room.bound or Decimal(0)

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
        why = "" if provider.known_models() else provider.availability.why_not("", RateLimits())
        if why:
            # Many requests do not wait one after another for a gateway that is away.
            failure = GatewayConnectionError(f"{name}: {why}")
            continue
        try:
            await provider.refresh_models()
        except TollgateError as error:
            failure = _of_one_provider(error)
            provider.availability.failed("", error)
        else:
            reached[name] = provider
    if failure and not reached:
        raise failure
    return reached


def _listed(providers: Providers) -> Providers:
    """The same for a method that is synchronous."""
    reached: dict[str, LiteLLMProvider] = {}
    failure: TollgateError | None = None
    for name, provider in providers.items():
        try:
            provider.get_supported_models()
        except TollgateError as error:
            failure = _of_one_provider(error)
        else:
            reached[name] = provider
    if failure and not reached:
        raise failure
    return reached


def _of_one_provider(error: TollgateError) -> TollgateError:
    """The error, if another provider can serve in its place. A refused key is a mistake, and raises."""
    if not is_away(error) and not isinstance(error, AnswerError):
        raise error
    return error


async def _counted(request: Request, provider: LiteLLMProvider, offer: Offer) -> int | None:
    """The prompt's tokens as the gateway counts them; None where it cannot."""
    try:
        return await provider.count_tokens(request.messages, offer.model.name, tools=request.more.get("tools"))
    except (StatusError, GatewayConnectionError, AnswerError):
        return None


def _offers(name: str, provider: LiteLLMProvider) -> list[Offer]:
    known = {model.name: model for model in provider.known_models()}
    offers = []
    for model in known.values():
        # A fallback that the list does not have is a model without a known price.
        others = tuple(known.get(other) or ModelInfo(other) for other in model.fallbacks)
        why_not = provider.availability.why_not(model.name, model.rate_limits)
        offers.append(Offer(name, model, why_not, others))
    return offers
