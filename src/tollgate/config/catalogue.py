"""What is really served: gateway.yaml less everything whose key is not set, and less what rested on that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tollgate.config.gateway import Gateway
from tollgate.config.models import Model, Target
from tollgate.config.providers import PROVIDERS, VERTEX_CREDENTIALS, Provider
from tollgate.config.routing import Chain

Chains = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Choice:
    """A `cheapest` model with the candidates that are served."""

    models: tuple[str, ...]
    max_cost: float | None
    description: str = ""


@dataclass(frozen=True)
class Catalogue:
    """`left_out` holds (name, reason) for models, aliases and choices; fallbacks simply lose what is not there.

    An alias has fallbacks of its own, its model's unless the file says otherwise: LiteLLM looks them up by the name
    that was asked for.
    """

    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    fallbacks: Chains
    left_out: tuple[tuple[str, str], ...]
    context_window_fallbacks: Chains = field(default_factory=dict)
    content_policy_fallbacks: Chains = field(default_factory=dict)
    cheapest: Mapping[str, Choice] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.models) | frozenset(self.aliases) | frozenset(self.cheapest)


def provider_of(target: Target) -> Provider:
    return PROVIDERS[target.model.partition("/")[0]]


def key_name(target: Target) -> str:
    """The variable that holds the key this target is sent; "" where it is sent none."""
    if target.api_key is not None:
        return target.api_key.removeprefix("env:") if target.api_key != "none" else ""
    return provider_of(target).key


def needed(target: Target) -> tuple[str, ...]:
    """The variables that must be set for this target."""
    if target.api_key is not None:
        return (key_name(target),) if target.api_key != "none" else ()
    return provider_of(target).credentials


def resolve(gateway: Gateway, keys: Collection[str]) -> Catalogue:
    """`keys` are the names of the provider credentials that are set."""
    models: dict[str, Model] = {}
    left_out: list[tuple[str, str]] = []
    for name, model in gateway.models.items():
        targets = tuple(target for target in model.targets if set(needed(target)) <= set(keys))
        if targets:
            models[name] = model.model_copy(update={"targets": targets})
        else:
            wanted = dict.fromkeys(" and ".join(needed(target)) for target in model.targets)
            left_out.append((name, _how(list(wanted))))
    aliases: dict[str, str] = {}
    for alias, meant in gateway.aliases.items():
        served = [name for name in _meant(gateway, meant) if name in models]
        if served:
            aliases[alias] = served[0]
        else:
            left_out.append((alias, f"stands for {meant}, which is left out"))
    choices: dict[str, Choice] = {}
    for name, cheapest in gateway.cheapest.items():
        candidates = tuple(model for model in gateway.members(cheapest.models) if model in models)
        if candidates:
            choices[name] = Choice(candidates, cheapest.max_cost, cheapest.description)
        else:
            left_out.append((name, "none of its candidates is served"))

    def chains(written: Mapping[str, Chain]) -> Chains:
        return _chains(gateway, written, models, aliases)

    return Catalogue(
        models,
        aliases,
        chains(_with_chain_aliases(gateway)),
        tuple(left_out),
        chains(gateway.context_window_fallbacks),
        chains(gateway.content_policy_fallbacks),
        choices,
    )


def _how(wanted: list[str]) -> str:
    if wanted == [VERTEX_CREDENTIALS]:
        return "put the service account's JSON into secrets/vertex_credentials.json to serve it"
    return f"set {' or '.join(wanted)} in .env to serve it"


def _meant(gateway: Gateway, name: str) -> tuple[str, ...]:
    return (name,) if name in gateway.models else gateway.chains.get(name, ())


def _with_chain_aliases(gateway: Gateway) -> Mapping[str, Chain]:
    """An alias of a chain falls back along it, unless the file gives it fallbacks of its own."""
    own = {alias: meant for alias, meant in gateway.aliases.items() if meant not in gateway.models}
    return {**own, **gateway.fallbacks}


def _chains(
    gateway: Gateway, written: Mapping[str, Chain], models: Mapping[str, Model], aliases: Mapping[str, str]
) -> Chains:
    """What of each chain is served; an alias without an entry has its model's."""
    found: dict[str, tuple[str, ...]] = {}
    for name, chain in written.items():
        model = aliases.get(name, name)
        kept = tuple(other for other in gateway.following(name, chain) if other in models and other != model)
        if model in models and kept:
            found[name] = kept
    for alias, model in aliases.items():
        if alias not in written and model in found:
            found[alias] = found[model]
    return found
