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
from tollgate_client.routes import Messages, given
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
        for name in ("model", "stream"):
            if name in more:
                raise ConfigurationError(f"expected no field {name}: the router sets it")
        # A copy: the caller may change its list while models are asked, and an iterator can be read once.
        plain: list[dict[str, Any]] = as_json(given(messages))
        fields: dict[str, Any] = as_json(dict(more))
        _check_tools(fields.get("tools"))
        money_left = None if max_cost is None else prices.usd("max_cost", max_cost)
        answers = 1 if money_left is None else money.answers_of(fields, plain)
        read = task.read(plain, fields, quality)
        return cls(plain, fields, read, quality, asked, money_left, answers)

    def room(self, offer: Offer, most_input: int | None, max_cost: Decimal | None) -> money.Room | None:
        """None without a promise. A prompt whose size nobody knows fits only after it was counted."""
        price = offer.most_expensive
        if max_cost is None or price is None:
            return None
        if most_input is None:
            return money.Room(False, None, None, Decimal("Infinity"))
        return money.room(
            price, most_input, self.task.writes_cache, self.answers, self.max_tokens, self._most(offer), max_cost
        )

    def longest(self, offer: Offer) -> int | None:
        """max_tokens where money does not matter."""
        limits = [limit for limit in (self.max_tokens, self._most(offer)) if limit is not None]
        return min(limits) if limits else None

    def _most(self, offer: Offer) -> int | None:
        """The longest answer of the model: some servers refuse a max_tokens that their context has no room for."""
        model = offer.model
        if model.context_tokens is None or self.max_tokens is not None:
            return model.max_output_tokens
        rest = max(1, model.context_tokens - money.reserved(self.task.likely_input))
        return rest if model.max_output_tokens is None else min(rest, model.max_output_tokens)

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


def _check_tools(tools: Any) -> None:
    if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise ConfigurationError("expected tools as a list of Tool or mappings")
