"""pgBackRest beside the database, started through a connection to it.

So the schedule needs neither the database's files nor its container, and the whole kit has one version of it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tollgate.errors import TollgateError
from tollgate.stack.backup import reach
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.reach import STANZA, Base
from tollgate.stack.backup.repository import HINT, Repository

Kind = Literal["full", "diff"]
Archived = Mapping[str, Mapping[str, str]]
# What a program says comes as rows, its exit status as the last: of one that failed Postgres itself would say no more
# than that it did. Not every program ends its last line, and a backslash would be an escape for COPY.
_RUN = """
CREATE TEMPORARY TABLE said (number serial, line text);
COPY said (line) FROM PROGRAM $program${ PROGRAM 2>&1; printf '\\nstatus %d\\n' $?; } | tr -d '\\000\\r\\\\'$program$
  WITH (DELIMITER E'\\x1f');
SELECT line FROM said ORDER BY number;
"""
_LABEL = re.compile(r"new backup label = (\S+)")
# A differential backup holds what changed since the full one before it.
FULL_EVERY = timedelta(days=7)


@dataclass(frozen=True)
class Taken:
    """A finished base backup; a differential one begins anew where there was no full one."""

    label: str
    said: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        return "full" if self.label.endswith("F") else "diff"


def base_backup(postgres: Postgres, kind: Kind) -> Taken:
    """Take one, and forget those that are too old to be kept. TollgateError with pgBackRest's reason."""
    words = ("pgbackrest", f"--stanza={STANZA}", "--log-level-console=info", f"--type={kind}", "backup")
    said = run_beside(postgres, words)
    label = next((found[1] for line in said if (found := _LABEL.search(line))), "")
    return Taken(label, tuple(said))


def run_beside(postgres: Postgres, words: Sequence[str]) -> list[str]:
    """What a program in Postgres's container printed. TollgateError with its last words where it failed."""
    script = _RUN.replace("PROGRAM 2>&1", f"{shlex.join(words)} 2>&1")
    *lines, status = postgres.sql(script).splitlines()
    said = [line for line in lines if line]
    if status == "status 0":
        return said
    errors = [line.partition("ERROR:")[2].strip() for line in said if "ERROR:" in line]
    telling = errors[0] if errors else (said[-1] if said else status)
    raise TollgateError(f"{words[0]}: {telling}", HINT)


def beside(postgres: Postgres) -> Repository:
    """The repository, asked through a connection to the database."""
    return Repository(lambda words: "\n".join(run_beside(postgres, words)))


def broken(backups: Sequence[Base], archived: Archived) -> bool:
    """Whether the newest base backup does not reach what was archived last: of another cluster, or with a gap between.

    Nothing written now can be restored then, until there is another one.
    """
    if not backups:
        return True
    newest = backups[-1]
    chains = reach.chains([newest], archived)
    if not chains or any(_number(archive) > _number(newest.archive) for archive in archived):
        return True
    return chains[0].files[-1][0] != max(archived[newest.archive])


def scheduled(backups: Sequence[Base], archived: Archived, now: datetime) -> Kind:
    """Which base backup the schedule takes."""
    fulls = [base for base in backups if base.kind == "full"]
    return "full" if broken(backups, archived) or now - fulls[-1].ended > FULL_EVERY else "diff"


def _number(archive: str) -> int:
    """17-2 is of the second cluster that the repository has seen."""
    return int(archive.rpartition("-")[2])
