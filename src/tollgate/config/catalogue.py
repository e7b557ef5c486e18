"""What is really served: gateway.yaml less everything whose key is not set, and less what rested on that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tollgate.config.gateway import Gateway, Model, Target
from tollgate.config.providers import PROVIDERS


@dataclass(frozen=True)
class Catalogue:
    """`left_out` holds (name, reason) for models and aliases; fallbacks simply lose what is not there."""

    models: Mapping[str, Model]
    aliases: Mapping[str, str]
    fallbacks: Mapping[str, tuple[str, ...]]
    left_out: tuple[tuple[str, str], ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.models) | frozenset(self.aliases)


def key_name(target: Target) -> str:
    """The variable that holds this target's key; "" where it needs none."""
    if target.api_key is not None:
        return target.api_key.removeprefix("env:") if target.api_key != "none" else ""
    return PROVIDERS[target.model.partition("/")[0]].key


def resolve(gateway: Gateway, keys: Collection[str]) -> Catalogue:
    """`keys` are the names of the provider keys that are set."""
    models: dict[str, Model] = {}
    left_out: list[tuple[str, str]] = []
    for name, model in gateway.models.items():
        targets = tuple(target for target in model.targets if not key_name(target) or key_name(target) in keys)
        if targets:
            models[name] = model.model_copy(update={"targets": targets})
        else:
            wanted = dict.fromkeys(key_name(target) for target in model.targets)
            left_out.append((name, f"set {' or '.join(wanted)} in .env to serve it"))
    aliases = {alias: model for alias, model in gateway.aliases.items() if model in models}
    left_out += [
        (alias, f"stands for {model}, which is left out")
        for alias, model in gateway.aliases.items()
        if model not in models
    ]
    fallbacks = {
        name: kept
        for name, chain in gateway.fallbacks.items()
        if name in models and (kept := tuple(model for model in chain if model in models))
    }
    return Catalogue(models, aliases, fallbacks, tuple(left_out))
