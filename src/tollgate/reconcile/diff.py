"""Pure: what must change so that `observed` becomes `desired`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from tollgate.litellm.state import Key, State, Team
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.plan import Plan

Managed = TypeVar("Managed", Team, Key)


def diff(desired: State, observed: State, *, allow_delete: bool = False) -> Plan:
    """The plan. What is ours and no longer wanted is blocked, which can be undone; `allow_delete` deletes it."""
    changes = [
        *_changes(desired.teams, observed.teams, allow_delete=allow_delete),
        *_changes(desired.keys, observed.keys, allow_delete=allow_delete),
    ]
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: change.order)),
        conflicts=tuple(_conflicts(desired, observed)),
        unmanaged_teams=len(observed.unmanaged_teams),
        unmanaged_keys=len(observed.unmanaged_keys),
    )


def _changes(
    desired: Mapping[str, Managed], observed: Mapping[str, Managed], *, allow_delete: bool
) -> Iterator[Change]:
    for name, wanted in desired.items():
        found = observed.get(name)
        if found is None:
            yield Change(Action.CREATE, None, wanted)
        elif found != wanted:
            yield Change(Action.UPDATE, found, wanted)
    for name, found in observed.items():
        if name in desired:
            continue
        if allow_delete:
            yield Change(Action.DELETE, found, None)
        elif not found.blocked:
            yield Change(Action.BLOCK, found, replace(found, blocked=True))


def _conflicts(desired: State, observed: State) -> Iterator[str]:
    for name in sorted(desired.teams.keys() & observed.unmanaged_teams):
        yield f"team {name}: LiteLLM has a team of this id that Tollgate did not make"
    for name in sorted(desired.keys.keys() & observed.unmanaged_keys):
        yield f"key {desired.keys[name].alias}: LiteLLM has this key already, and Tollgate did not make it"
