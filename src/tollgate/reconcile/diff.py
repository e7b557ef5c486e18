"""Pure: the changes that turn `observed` into `desired`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from tollgate.litellm.state import EXPIRED, Key, State, Team
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.plan import Plan

Managed = TypeVar("Managed", Team, Key)


def diff(desired: State, observed: State, *, allow_delete: bool = False) -> Plan:
    """The plan. It blocks our objects that no file names any more, which can be undone. `allow_delete` deletes them."""
    dead = {name: key for name, key in observed.keys.items() if _rotated_out(key, desired)}
    keys = {**_retiring(desired, observed), **_worth_making(desired, observed)}
    living = {name: key for name, key in observed.keys.items() if name not in dead}
    changes = [
        *_changes(desired.teams, observed.teams, allow_delete=allow_delete),
        *_changes(keys, living, allow_delete=allow_delete),
        *(Change(Action.DELETE, key, None) for key in dead.values()),
    ]
    return Plan(
        changes=tuple(sorted(changes, key=lambda change: change.order)),
        conflicts=tuple(_conflicts(desired, observed)),
        unmanaged_teams=_listed(observed.unmanaged_teams),
        unmanaged_keys=_listed(observed.unmanaged_keys),
        allow_delete=allow_delete,
    )


def _changes(
    desired: Mapping[str, Managed], observed: Mapping[str, Managed], *, allow_delete: bool
) -> Iterator[Change]:
    for name, wanted in desired.items():
        present = observed.get(name)
        if present is None:
            yield Change(Action.CREATE, None, wanted)
        elif present != wanted:
            yield Change(Action.UPDATE, present, wanted)
    for name, present in observed.items():
        if name in desired:
            continue
        if allow_delete:
            yield Change(Action.DELETE, present, None)
        elif not present.blocked:
            yield Change(Action.BLOCK, present, replace(present, blocked=True))


def _worth_making(desired: State, observed: State) -> dict[str, Key]:
    """All keys, except new ones that are expired already."""
    return {name: key for name, key in desired.keys.items() if key.expires != EXPIRED or name in observed.keys}


def _retiring(desired: State, observed: State) -> dict[str, Key]:
    """Rotated keys within their grace. No file names them, and they stay as they are.

    If their tenant is suspended, they are blocked too.
    """
    return {
        name: replace(key, blocked=desired.teams[key.team].blocked)
        for name, key in observed.keys.items()
        if key.retiring and key.expires not in (None, EXPIRED) and key.team in desired.teams
    }


def _rotated_out(key: Key, desired: State) -> bool:
    """A rotated key that has expired. It can be deleted without --allow-delete."""
    return key.retiring and key.expires == EXPIRED and key.id not in desired.keys


def _conflicts(desired: State, observed: State) -> Iterator[str]:
    for name in sorted(desired.teams.keys() & observed.unmanaged_teams.keys()):
        yield f"team {name}: LiteLLM has a team of this id that Tollgate did not make"
    for name in sorted(desired.keys.keys() & observed.unmanaged_keys.keys()):
        yield f"key {desired.keys[name].alias}: LiteLLM has this key already, and Tollgate did not make it"


def _listed(unmanaged: Mapping[str, str]) -> tuple[str, ...]:
    """A team by its id and name, a key by its name or the start of its hash."""
    return tuple(sorted(name if name else identity[:16] for identity, name in unmanaged.items()))
