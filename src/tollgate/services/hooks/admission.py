"""Asks the limits for a request of a replica, or takes over what a gateway process has asked already.

LiteLLM is not needed here. hooks/limits.py is its callback.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tollgate.services.hooks.held import Held
from tollgate.services.hooks.ongoing import Ongoing
from tollgate.services.limits import ticket
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.outcome import Admitted, Refused
from tollgate.services.limits.refusals import refusal_of
from tollgate.services.limits.rule import Rule
from tollgate.services.refusals.refusal import Refusal


@dataclass(frozen=True)
class Asked:
    """One request for the limits. `token` is the hash of its key, `owner` an e-mail address or empty.

    `model` is the model behind the client's name, `tokens` the estimate of the input. `cost` says for each name of a
    model that may answer: the model behind it, and the most that it can cost in nano-dollars.
    """

    token: str
    owner: str
    rules: tuple[Rule, ...]
    model: str
    tokens: int
    cost: Callable[[str], tuple[str, int]] = field(repr=False)


@dataclass
class Admission:
    """`secret` is what gateway processes sign tickets with; empty: none is believed."""

    limiter: Limiter
    secret: str = field(default="", repr=False)

    async def admit(self, ongoing: Ongoing, asked: Asked) -> Refusal | None:
        """Takes from every limit or from none. The refusal if one refuses; else `ongoing` holds what was taken."""
        call = ticket.read(self.secret, ongoing.ticket, asked.token, asked.model, time.time())
        if call is not None:
            admitted = self.limiter.take_over(call)
        else:
            now = datetime.now(UTC)
            model, nano = asked.cost(asked.model)
            outcome = await self.limiter.admit(asked.rules, uuid.uuid4().hex, model, asked.tokens, nano, now)
            if isinstance(outcome, Refused):
                return refusal_of(outcome, now, asked.owner)
            admitted = outcome
        ongoing.held = Held(self.limiter, admitted, asked.tokens, handed_over=call is not None)
        ongoing.may_pay = lambda name: self._may_pay(admitted, asked, name)
        return None

    async def _may_pay(self, admitted: Admitted, asked: Asked, name: str) -> bool:
        model, nano = asked.cost(name)
        outcome = await self.limiter.admit_money(admitted, asked.rules, model, nano, datetime.now(UTC))
        return not isinstance(outcome, Refused)
