"""Pure: finds the migrations that a release still needs, and whether another release can use the resulting schema."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tollgate.migrate import releases
from tollgate.migrate.decide import first_few


@dataclass(frozen=True)
class Schema:
    """`pending` are `target`'s migrations that the database does not have.

    `in_the_way` are the reasons why `other` could not serve on the schema of `target`.
    """

    pending: tuple[str, ...]
    in_the_way: tuple[str, ...] = ()


def look(applied: Collection[str], target: str, other: str) -> Schema:
    """`applied` are the names of the migrations that the database has."""
    wanted = releases.migrations(target)
    pending = tuple(sorted(set(wanted) - set(applied)))
    return Schema(pending, tuple(_in_the_way({*applied, *wanted}, other)))


def _in_the_way(schema: Collection[str], release: str) -> list[str]:
    if release not in releases.known():
        return [f"this kit does not know {release} and its schema"]
    changes = {name: change for known in releases.known() for name, change in releases.migrations(known).items()}
    beyond = sorted(set(schema) - set(releases.migrations(release)))
    if unknown := [name for name in beyond if name not in changes]:
        return [f"this kit does not know the migrations {first_few(unknown)}"]
    return [f"{name} changes what {release} uses: {changes[name]}" for name in beyond if changes[name]]
