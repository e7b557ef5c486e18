"""The model that a `cheapest` name means for one request of one caller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tollgate.services.choice.choose import MAX_COST, NoModelError, choose
from tollgate.services.gateway.call import RefusedError
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue, Model
from tollgate.services.requests.asgi import Message
from tollgate.services.requests.longest_answer import USUAL_OUTPUT
from tollgate.services.requests.routes import COUNT_TOKENS, api_of


def chosen(catalogue: Catalogue, name: str, caller: Caller, body: Mapping[str, Any], scope: Message) -> Model:
    """`name` is one of `catalogue.choices`. Raises RefusedError if no candidate may or can answer."""
    choice = catalogue.choices[name]
    allowed = [candidate for candidate in choice.models if caller.may_use(candidate.name)]
    sent = next((value.decode("latin-1") for field, value in scope["headers"] if field == MAX_COST.encode()), None)
    if scope["path"] == COUNT_TOKENS:
        # A count has no answer. The models are compared as for a usual one.
        body = {**body, "max_tokens": body.get("max_tokens") or USUAL_OUTPUT}
    try:
        return catalogue.models[choose(name, choice, allowed, body, api_of(scope["path"]), sent)]
    except NoModelError as error:
        raise RefusedError(error.refusal) from error
