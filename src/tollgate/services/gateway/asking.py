"""Asks the targets of the model one after another, then those of its fallbacks, until one answers."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from tollgate.services.gateway import targets
from tollgate.services.gateway.booking import Booked
from tollgate.services.gateway.call import Call, HandOverError, RefusedError
from tollgate.services.gateway.catalogue import Catalogue, Model, Target
from tollgate.services.gateway.exchange import Exchange, begin
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.outgoing import FailedError
from tollgate.services.gateway.targets import Cooldowns
from tollgate.services.gateway.upstream import failure
from tollgate.services.gateway.upstream.client import Upstreams
from tollgate.services.gateway.upstream.failure import Failure
from tollgate.services.refusals.upstream_words import harmless
from tollgate.services.requests import paid_tools, surcharges

log = logging.getLogger("tollgate.gateway.asking")


@dataclass
class _Tried:
    """The result of the targets that were asked so far. `handover` is why LiteLLM may still answer."""

    last: Failure | None = None
    handover: HandOverError | None = None

    @property
    def final(self) -> bool:
        return self.last is not None and self.last.final

    def error(self) -> Exception:
        if self.handover is not None and (self.last is None or not self.last.final or self.last.too_long):
            return self.handover
        last = self.last if self.last is not None else failure.no_answer("no_target", reached=False)
        return RefusedError(last.refusal, last.events)


@dataclass
class Asking:
    """`credentials` are the provider keys by the name of their variable."""

    catalogue: Catalogue
    upstreams: Upstreams
    credentials: Mapping[str, str] = field(repr=False)
    cooldowns: Cooldowns
    metrics: Metrics
    chance: random.Random = field(default_factory=random.Random)

    async def ask(self, call: Call, booked: Booked) -> Exchange:
        """The first answer. Raises RefusedError with what the last target said, or HandOverError."""
        tried = _Tried()
        names = (call.name, *self.catalogue.fallbacks.get(call.name, ()))
        exchange = None
        if not too_long(call, call.model):
            exchange = await self._first(call, booked, self._allowed(call, names), tried)
        else:
            tried.last = failure.prompt_too_long(call.input_tokens, call.model.context_tokens or 0)
        if exchange is None and tried.last is not None and tried.last.too_long:
            larger = self._allowed(call, self.catalogue.context_window_fallbacks.get(call.name, ()))
            fit = [model for model in larger if not too_long(call, model)]
            exchange = await self._first(call, booked, fit, tried) if fit else None
        if exchange is None:
            raise tried.error()
        return exchange

    def _allowed(self, call: Call, names: Iterable[str]) -> Iterator[Model]:
        for name in names:
            model = self.catalogue.model(name)
            if model is None or not call.caller.may_use(*self.catalogue.names_of(name)):
                continue
            if model is call.model or not price_problem(call, model):
                yield model

    async def _first(self, call: Call, booked: Booked, models: Iterable[Model], tried: _Tried) -> Exchange | None:
        for model in models:
            if not model.targets:
                tried.handover = HandOverError("fallback")
                continue
            if model is not call.model and not await booked.switch(model):
                continue
            for target in self._in_turn(model):
                exchange = await self._one(call, booked, model, target, tried)
                if exchange is not None or tried.final:
                    return exchange
        return None

    def _in_turn(self, model: Model) -> Iterator[Target]:
        yield from targets.in_turn(model.targets, self.cooldowns, self.chance)

    async def _one(self, call: Call, booked: Booked, model: Model, target: Target, tried: _Tried) -> Exchange | None:
        asked, waited = booked.asked, call.record.waited_s
        # Before the call: if the client leaves meanwhile, the target may still bill the request.
        booked.asks(model, target)
        try:
            exchange = await begin(call, model, target, self.upstreams, self.credentials, booked.began)
        except HandOverError as error:
            # A fault of ours in reading an answer: its provider bills it, and LiteLLM's as well.
            booked.asked, tried.handover = booked.gave_up() or asked, error
            return None
        except FailedError as error:
            booked.gave_up(billed=error.failure.billed)
            booked.asked = asked or error.failure.reached
            tried.last = error.failure
            self._note(call, target, error.failure)
            return None
        self.cooldowns.answered(target)
        self.metrics.answered(target.id, call.record.waited_s - waited)
        call.record.first_byte_now()
        if model is not call.model:
            self.metrics.fell_back(call.model.name, model.name)
        return exchange

    def _note(self, call: Call, target: Target, failed: Failure) -> None:
        if failed.rests:
            self.cooldowns.failed(target)
        self.metrics.failed(target.id, failed.kind)
        log_failure(call, target, failed)


def log_failure(call: Call, target: Target, failed: Failure) -> None:
    # Other words of an upstream may be a piece of the answer, or quote the prompt.
    detail = f": {harmless(failed.detail)}" if failed.kind == "account" and failed.detail else ""
    log.warning("request %s: target %s failed: %s%s", call.request_id, target.id, failed.kind, detail)


def passes(call: Call, model: Model) -> bool:
    """Whether a target of the model may get the request as the client sent it."""
    return any(call.protocol in target.urls for target in model.targets)


def price_problem(call: Call, model: Model) -> str:
    """The first field or tool that would cost more than this model's prices say; empty without one.

    A translated request has none of them.
    """
    if not passes(call, model):
        return ""
    tools = "" if model.tool_prices is None else paid_tools.problem(call.parsed, model.tool_prices)
    return surcharges.problem(call.parsed) or tools


def too_long(call: Call, model: Model) -> bool:
    return bool(model.context_tokens) and call.input_tokens > (model.context_tokens or 0)
