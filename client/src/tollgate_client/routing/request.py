"""One request of a router: checked, read and counted once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tollgate_client import prices
from tollgate_client.call import as_json
from tollgate_client.errors import ConfigurationError
from tollgate_client.model_info import TIERS, Tier
from tollgate_client.routes import Messages
from tollgate_client.routing import money, task
from tollgate_client.routing.plan import Offer
from tollgate_client.routing.task import Task

# Newer OpenAI models want this name; the caller's choice of a name stays.
_NEWER = "max_completion_tokens"


@dataclass(frozen=True)
class Request:
    """`more` are the other fields of the chat body. `max_cost` in USD is None without a promise."""

    messages: Messages
    more: Mapping[str, Any]
    task: Task
    quality: Tier | None
    max_tokens: int | None
    max_cost: Decimal | None
    answers: int

    @classmethod
    def of(
        cls,
        messages: Messages,
        more: Mapping[str, Any],
        quality: Tier | None,
        max_tokens: int | None,
        max_cost: float | str | Decimal | None,
    ) -> Request:
        if quality is not None and quality not in TIERS:
            raise ConfigurationError(f"expected the quality {', '.join(TIERS)}; found {quality!r}")
        asked = more.get(_NEWER) if max_tokens is None else max_tokens
        if asked is not None and (not isinstance(asked, int) or isinstance(asked, bool) or asked < 1):
            raise ConfigurationError(f"expected max_tokens as a whole number from 1, found {asked!r}")
        plain = as_json(list(messages))
        money_left = None if max_cost is None else prices.usd("max_cost", max_cost)
        answers = 1 if money_left is None else money.answers_of(more)
        read = task.read(plain, as_json(dict(more)), quality)
        return cls(messages, more, read, quality, asked, money_left, answers)

    def room(self, offer: Offer, most_input: int | None, max_cost: Decimal | None) -> money.Room | None:
        """None without a promise. A prompt whose size nobody knows fits only after it was counted."""
        price = offer.model.price
        if max_cost is None or price is None:
            return None
        if most_input is None:
            return money.Room(False, None, None, Decimal("Infinity"))
        most_output = offer.model.max_output_tokens
        return money.room(
            price, most_input, self.task.writes_cache, self.answers, self.max_tokens, most_output, max_cost
        )

    def longest(self, offer: Offer) -> int | None:
        """max_tokens where money does not matter."""
        limits = [limit for limit in (self.max_tokens, offer.model.max_output_tokens) if limit is not None]
        return min(limits) if limits else None

    def tighter(self, counted: int) -> int:
        """The upper bound of the input after the gateway counted it."""
        bound = money.reserved(counted) + self.task.uncounted
        return bound if self.task.most_input is None else min(bound, self.task.most_input)

    def fields(self, max_tokens: int | None) -> dict[str, Any]:
        """The fields of the chat body, with the max_tokens that the money allows."""
        more = {name: value for name, value in self.more.items() if name != _NEWER}
        if max_tokens is None:
            return more
        return {**more, (_NEWER if _NEWER in self.more else "max_tokens"): max_tokens}
