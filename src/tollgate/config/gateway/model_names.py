"""The names that a tenant file may use: models, their aliases, and groups of both, from gateway.yaml.

LiteLLM lets a caller use a name when the caller is allowed that name or, for an alias, the model it stands for; not
the reverse: a caller that is allowed only the alias cannot ask for the model (docs/facts.md 12).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

GROUP = "group:"


@dataclass(frozen=True)
class ModelNames:
    models: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __contains__(self, entry: str) -> bool:
        """Whether `allowed_models` may have this entry."""
        if entry.startswith(GROUP):
            return entry.removeprefix(GROUP) in self.groups
        return entry in self.models or entry in self.aliases

    @property
    def entries(self) -> list[str]:
        """All names that `allowed_models` may have, for a hint."""
        return sorted([*self.models, *self.aliases, *(GROUP + name for name in self.groups)])

    def expand(self, entries: Iterable[str]) -> tuple[str, ...]:
        """The entries with each group replaced by its members, each name once. KeyError for an unknown group."""
        names: dict[str, None] = {}
        for entry in entries:
            group = entry.startswith(GROUP)
            names.update(dict.fromkeys(self.groups[entry.removeprefix(GROUP)] if group else (entry,)))
        return tuple(names)

    def within(self, name: str, allowed: Iterable[str] | None) -> bool:
        """Whether a caller with these (expanded) names may ask for `name`. None allows everything."""
        return allowed is None or not {name, self.aliases.get(name, name)}.isdisjoint(allowed)

    def reaches(self, model: str, allowed: Iterable[str] | None) -> bool:
        """Whether a caller with these (expanded) names can reach the model, under any name."""
        return allowed is None or any(model in (name, self.aliases.get(name)) for name in allowed)
