"""Chooses the model behind a `cheapest` name of config/gateway.yaml, or says why none can answer.

Both routes use it, so a request gets the same model on each. Pure: plain values in, plain values out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from tollgate.services.choice.candidates import Candidate, Choice, cheapest, needs, unable
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.routes import Api

# With this header a client can lower `max_cost` for a request, but not raise it.
MAX_COST = "x-tollgate-max-cost"
# The response header with the model that answered.
ANSWERED = "x-tollgate-model"


class NoModelError(Exception):
    """No candidate may or can answer."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def choose(
    name: str,
    choice: Choice,
    allowed: Sequence[Candidate],
    body: Mapping[str, Any],
    api: Api | None,
    max_cost: str | None,
) -> str:
    """The name of the cheapest of `allowed` that can handle `body`. Raises NoModelError.

    `allowed` are the candidates that the caller may use, in the order of `choice`. `api` is that of the route.
    `max_cost` is the client's header in USD; None without one.
    """
    if not allowed:
        message = f"{name}: this key may not use any of its models"
        raise NoModelError(Refusal(403, "permission_error", "model_not_allowed", message))
    wanted = needs(body, api)
    able = cheapest(allowed, wanted)
    if not able:
        reasons = ", ".join(f"{model.name} {unable(model, wanted)}" for model in allowed)
        raise _refused(f"{name}: no model can handle this request (about {wanted.context} tokens): {reasons}")
    price, model = able[0]
    limit = _limit(choice, max_cost)
    if limit is not None and price > limit:
        raise _refused(_too_expensive(name, model, price, limit))
    return model.name


def _limit(choice: Choice, sent: str | None) -> Decimal | None:
    if sent is None:
        return choice.max_cost
    try:
        asked = Decimal(sent)
    except InvalidOperation:
        asked = Decimal("NaN")
    if not asked.is_finite() or asked <= 0:
        raise _refused(f"{MAX_COST}: expected an amount in USD, such as 0.05")
    return asked if choice.max_cost is None else min(asked, choice.max_cost)


def _too_expensive(name: str, model: Candidate, price: Decimal, limit: Decimal) -> str:
    return (
        f"{name}: this request could cost ${price:.4f} with {model.name}, the cheapest suitable model, but the limit "
        f"is ${limit.normalize():f}; send a smaller max_tokens, or name a model"
    )


def _refused(message: str) -> NoModelError:
    return NoModelError(Refusal(400, "invalid_request_error", "invalid_request", message))
