"""Pure: computes which moments can be restored, from the base backups and the names of the archived WAL files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

STANZA = "tollgate"
# archive/tollgate/17-1/0000000100000000/000000010000000000000003-<sha1>.zst
_FILE = re.compile(r"(?P<archive>\d+-\d+)/[0-9A-F]{16}/(?P<name>[0-9A-F]{24})-[0-9a-f]{40}(?:\.\w+)?")
# A WAL file has 16 MiB. This many files share the number in the middle of their names.
_PER_LOG = 256


@dataclass(frozen=True)
class Base:
    """A base backup. A restore needs at least the WAL files from `first` to `last`. `size` is in bytes."""

    label: str
    kind: str
    ended: datetime
    archive: str
    first: str
    last: str
    size: int


@dataclass(frozen=True)
class Chain:
    """Base backups, oldest first, and all WAL files from the first backup on, without a gap: (name, path)."""

    bases: tuple[Base, ...]
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Reach:
    """The moments from `since` to `until` (exclusive), and the base backups in this time."""

    since: datetime
    until: datetime
    bases: tuple[Base, ...]

    def base_for(self, moment: datetime) -> Base | None:
        """The last base backup that had finished before `moment`. None if `moment` cannot be restored."""
        if not self.since <= moment < self.until:
            return None
        return [base for base in self.bases if usable_from(base) <= moment][-1]

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M:%S} to {self.until:%Y-%m-%d %H:%M:%S} UTC"


def bases(info: str) -> list[Base]:
    """The base backups without errors in the output of `pgbackrest info --output=json`, oldest first."""
    backups = []
    for stanza in json.loads(info or "[]"):
        versions = {row["id"]: row["version"] for row in stanza.get("db", ())}
        for row in stanza.get("backup", ()):
            if row.get("error"):
                continue
            number = row["database"]["id"]
            backups.append(
                Base(
                    label=row["label"],
                    kind=row["type"],
                    ended=datetime.fromtimestamp(row["timestamp"]["stop"], UTC),
                    archive=f"{versions[number]}-{number}",
                    first=row["archive"]["start"],
                    last=row["archive"]["stop"],
                    size=row["info"]["size"],
                )
            )
    return sorted(backups, key=lambda base: base.ended)


def files(listing: str) -> dict[str, dict[str, str]]:
    """The WAL files of each archive (name to path), from `pgbackrest repo-ls --recurse --output=json`."""
    archives: dict[str, dict[str, str]] = {}
    for path in json.loads(listing or "{}"):
        if match := _FILE.fullmatch(path):
            archives.setdefault(match["archive"], {})[match["name"]] = path
    return archives


def chains(backups: Iterable[Base], archived: Mapping[str, Mapping[str, str]]) -> list[Chain]:
    """Groups of base backups that WAL connects without a gap, oldest chain first."""
    groups: dict[tuple[str, str], list[tuple[Base, list[tuple[str, str]]]]] = {}
    for base in backups:
        run = _unbroken(base.first, archived.get(base.archive, {}))
        if run and run[-1][0] >= base.last:
            groups.setdefault((base.archive, run[-1][0]), []).append((base, run))
    return [Chain(tuple(base for base, _ in rows), tuple(rows[0][1])) for rows in groups.values()]


def usable_from(base: Base) -> datetime:
    """The first moment that the backup can restore. pgBackRest rounds the end of a backup down to seconds."""
    return base.ended + timedelta(seconds=1)


def reach(chain: Chain, last_commit: datetime | None) -> Reach | None:
    """The moments of one chain; None if there are none.

    A restore stops before the first commit after its moment. It therefore needs a later commit, so the moment of the
    last commit itself cannot be restored.
    """
    since = usable_from(chain.bases[0])
    if last_commit is None or last_commit <= since:
        return None
    return Reach(since, last_commit, chain.bases)


def words(reaches: Sequence[Reach]) -> str:
    return ", and ".join(map(str, reaches))


def _unbroken(first: str, archived: Mapping[str, str]) -> list[tuple[str, str]]:
    run, name = [], first
    while name in archived:
        run.append((name, archived[name]))
        name = _next(name)
    return run


def _next(name: str) -> str:
    number = int(name[8:16], 16) * _PER_LOG + int(name[16:], 16) + 1
    return f"{name[:8]}{number // _PER_LOG:08X}{number % _PER_LOG:08X}"
