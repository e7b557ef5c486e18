"""The model that a `cheapest` name means for one request of one caller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tollgate.services.choice.choose import MAX_COST, NoModelError, choose
from tollgate.services.gateway.call import RefusedError
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue, Model


def chosen(
    catalogue: Catalogue, name: str, caller: Caller, body: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]]
) -> Model:
    """`name` is one of `catalogue.choices`. Raises RefusedError if no candidate may or can answer."""
    choice = catalogue.choices[name]
    allowed = [candidate for candidate in choice.models if caller.may_use(candidate.name)]
    sent = next((value.decode("latin-1") for field, value in headers if field == MAX_COST.encode()), None)
    try:
        return catalogue.models[choose(name, choice, allowed, body, sent)]
    except NoModelError as error:
        raise RefusedError(error.refusal) from error
