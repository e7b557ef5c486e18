"""The choice of a router, and its price."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from pydantic import PrivateAttr

from tollgate_client.models import ChatCompletion


class Selection(NamedTuple):
    """`provider` is the name in `providers`; `reason` is a sentence for people."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True)
class Attempt:
    """One model that was asked. `cost` in USD is None where its price or the usage is not known.

    `problem` is empty where the answer passed. A refused call costs 0, and its problem is the name of the error.
    """

    provider: str
    model: str
    max_tokens: int | None = None
    cost: Decimal | None = None
    problem: str = ""


@dataclass(frozen=True)
class Route:
    """`cost` is the sum of all attempts in USD, None if one of them is not known.

    `passed` is False if no answer passed the checks; then this is the last one. `bound` is what the request could have
    cost at most, where `max_cost` was given.
    """

    provider: str
    model: str
    reason: str
    cost: Decimal | None
    passed: bool
    bound: Decimal | None = None
    attempts: tuple[Attempt, ...] = field(default=())


class RoutedAnswer(ChatCompletion):
    """A chat completion, and how it was chosen."""

    _route: Route | None = PrivateAttr(default=None)

    @property
    def route(self) -> Route:
        if self._route is None:
            raise ValueError("this answer was not routed")
        return self._route

    @classmethod
    def of(cls, answer: ChatCompletion, route: Route) -> RoutedAnswer:
        routed = cls.model_validate(answer.model_dump())
        by = "" if answer.priced_model == answer.asked_model else answer.priced_model
        routed.came_with(answer.request_id, answer.asked_model, by, answer.offered_tools)
        routed._route = route
        return routed
