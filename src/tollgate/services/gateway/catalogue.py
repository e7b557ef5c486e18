"""The models that this gateway serves, as `make deploy` renders it: their targets and prices, aliases and fallbacks.

render/gateway.py writes the file. Every value in it was checked there, so nothing is checked again here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tollgate.services.choice import candidates
from tollgate.services.choice.candidates import Choice
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.ledger.price import FREE, Prices
from tollgate.services.requests.paid_tools import nano_each

FILE = "catalogue.json"


class Protocol(Enum):
    """The API of a target's server."""

    MESSAGES = "messages"
    CHAT = "chat"


@dataclass(frozen=True)
class Target:
    """One provider of a model. `urls` has an address for each protocol that its server speaks.

    `booked_as` is the name in the ledger, provider included. `key` names the credential in provider_keys.json; empty:
    the server wants none. `anthropic`: the key goes into x-api-key. `chat` says what its chat completions take.
    `as_sent`: its Messages API takes all that Anthropic's takes, so a request passes as the client sent it.
    """

    id: str
    model: str
    booked_as: str
    urls: Mapping[Protocol, str]
    key: str
    order: int
    weight: int
    timeout_s: float
    headers: Mapping[str, str]
    anthropic: bool
    chat: Options
    retries: int
    as_sent: bool = True


@dataclass(frozen=True)
class Model:
    """`targets` is empty if the model is not served directly; `reason` then says why, as a word for metrics.

    `tool_prices` are nano-dollars for one use of a tool that the provider runs, None if all tools are free.
    """

    name: str
    targets: tuple[Target, ...]
    reason: str
    prices: Prices
    context_tokens: int | None
    max_output_tokens: int | None
    tool_prices: Mapping[str, int] | None = None

    @property
    def free(self) -> bool:
        return self.prices == FREE


@dataclass(frozen=True)
class Catalogue:
    """Both kinds of fallbacks are by the name that the client asked for, aliases included.

    `listed` has the entry of `GET /v1/models` for each name, also for those that only LiteLLM serves. Clients reach the
    gateway at `address`. `choices` are the `cheapest` names of which every candidate is served directly.
    """

    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    fallbacks: Mapping[str, tuple[str, ...]]
    context_window_fallbacks: Mapping[str, tuple[str, ...]]
    allowed_fails: int
    cooldown_s: float
    listed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    address: str = ""
    choices: Mapping[str, Choice] = field(default_factory=dict)

    def names_of(self, name: str) -> tuple[str, ...]:
        """The name and the model behind it: a tenant may use either if its list has one of them."""
        return (name, self.aliases[name]) if name in self.aliases else (name,)

    def model(self, name: str) -> Model | None:
        """The model that `name` means. None for a name of `cheapest`, and for what only LiteLLM knows."""
        return self.models.get(self.aliases.get(name, name))


def read(text: str) -> Catalogue:
    """The rendered file. Raises KeyError or ValueError if another release wrote it."""
    stated = json.loads(text)
    models = {name: _model(name, model) for name, model in stated["models"].items()}
    return Catalogue(
        models,
        stated["aliases"],
        _chains(stated["fallbacks"]),
        _chains(stated["context_window_fallbacks"]),
        stated["allowed_fails"],
        stated["cooldown_s"],
        stated["listed"],
        stated["address"],
        _direct(candidates.read(stated["choices"]), models),
    )


def _direct(choices: Mapping[str, Choice], models: Mapping[str, Model]) -> dict[str, Choice]:
    """LiteLLM answers a choice with a candidate that only it serves."""
    return {
        name: choice
        for name, choice in choices.items()
        if all(models[candidate.name].targets for candidate in choice.models)
    }


def _chains(stated: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(chain) for name, chain in stated.items()}


def _model(name: str, stated: Mapping[str, Any]) -> Model:
    return Model(
        name,
        tuple(_target(target) for target in stated["targets"]),
        stated["reason"],
        Prices.of(stated["price"]) if stated["price"] else FREE,
        stated["context_tokens"],
        stated["max_output_tokens"],
        None if stated["tool_prices"] is None else nano_each(stated["tool_prices"]),
    )


def _target(stated: Mapping[str, Any]) -> Target:
    urls = {Protocol(protocol): url for protocol, url in stated["urls"].items()}
    return Target(**{**stated, "urls": urls, "chat": Options(**stated["chat"])})
