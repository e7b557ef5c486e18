"""The served models: gateway.yaml without models that lack a key, and without names that need those models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from tollgate.config.gateway.file import Gateway
from tollgate.config.gateway.model import Model, Target
from tollgate.config.gateway.providers import PROVIDERS, VERTEX_CREDENTIALS, Provider
from tollgate.config.gateway.routing import Chain

Chains = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class ServedChoice:
    """A `cheapest` model with the candidates that are served."""

    models: tuple[str, ...]
    max_cost: float | None
    description: str = ""


@dataclass(frozen=True)
class Catalogue:
    """`left_out` holds (name, reason) for models, aliases and choices; fallbacks lose models that are left out.

    An alias has its own entry for fallbacks (by default its model's), because LiteLLM looks fallbacks up by the name
    that the client asked for.
    """

    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    fallbacks: Chains
    left_out: tuple[tuple[str, str], ...]
    context_window_fallbacks: Chains = field(default_factory=dict)
    content_policy_fallbacks: Chains = field(default_factory=dict)
    cheapest: Mapping[str, ServedChoice] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.models) | frozenset(self.aliases) | frozenset(self.cheapest)


def provider_of(target: Target) -> Provider:
    return PROVIDERS[target.model.partition("/")[0]]


def key_name(target: Target) -> str:
    """The variable with the key for this target; "" if the target gets no key."""
    if target.api_key is not None:
        return target.api_key.removeprefix("env:") if target.api_key != "none" else ""
    return provider_of(target).key


def needed(target: Target) -> tuple[str, ...]:
    """The variables that must be set for this target."""
    if target.api_key is not None:
        return (key_name(target),) if target.api_key != "none" else ()
    return provider_of(target).credentials


def resolve(gateway: Gateway, keys: Collection[str]) -> Catalogue:
    """The catalogue with the provider credentials named in `keys`."""
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
    choices: dict[str, ServedChoice] = {}
    for name, cheapest in gateway.cheapest.items():
        candidates = tuple(model for model in gateway.members(cheapest.models) if model in models)
        if candidates:
            choices[name] = ServedChoice(candidates, cheapest.max_cost, cheapest.description)
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
    """The fallbacks, with an entry for each alias of a chain that has none in the file."""
    own = {alias: meant for alias, meant in gateway.aliases.items() if meant not in gateway.models}
    return {**own, **gateway.fallbacks}


def _chains(
    gateway: Gateway, written: Mapping[str, Chain], models: Mapping[str, Model], aliases: Mapping[str, str]
) -> Chains:
    """The served part of each chain. An alias without an entry gets its model's entry."""
    served: dict[str, tuple[str, ...]] = {}
    for name, chain in written.items():
        model = aliases.get(name, name)
        kept = tuple(other for other in gateway.following(name, chain) if other in models and other != model)
        if model in models and kept:
            served[name] = kept
    for alias, model in aliases.items():
        if alias not in written and model in served:
            served[alias] = served[model]
    return served
