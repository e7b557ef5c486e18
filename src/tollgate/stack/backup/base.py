"""Runs pgBackRest in Postgres's container, over an SQL connection.

The scheduler therefore needs no access to the database's files or to Docker, and the kit has one pgBackRest version.
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
# The script returns the program's output as rows, with the exit status in the last row. If COPY itself failed, Postgres
# would report only that the program failed. `\n` ends an unfinished last line; `tr` removes COPY's escape character.
_RUN = """
CREATE TEMPORARY TABLE output (number serial, line text);
COPY output (line) FROM PROGRAM $program${ PROGRAM 2>&1; printf '\\nstatus %d\\n' $?; } | tr -d '\\000\\r\\\\'$program$
  WITH (DELIMITER E'\\x1f');
SELECT line FROM output ORDER BY number;
"""
_LABEL = re.compile(r"new backup label = (\S+)")
# A differential backup contains the changes since the full backup before it.
FULL_EVERY = timedelta(days=7)


@dataclass(frozen=True)
class Taken:
    """A finished base backup. pgBackRest takes a full one instead of a differential if there is no full one yet."""

    label: str
    output: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        return "full" if self.label.endswith("F") else "diff"


def base_backup(postgres: Postgres, kind: Kind) -> Taken:
    """Take a base backup; pgBackRest also deletes expired ones. TollgateError with pgBackRest's reason."""
    words = ("pgbackrest", f"--stanza={STANZA}", "--log-level-console=info", f"--type={kind}", "backup")
    output = run_over_sql(postgres, words)
    label = next((match[1] for line in output if (match := _LABEL.search(line))), "")
    return Taken(label, tuple(output))


def run_over_sql(postgres: Postgres, words: Sequence[str]) -> list[str]:
    """Run a program in Postgres's container; return its lines. TollgateError with its error line if it fails."""
    script = _RUN.replace("PROGRAM 2>&1", f"{shlex.join(words)} 2>&1")
    *lines, status = postgres.sql(script).splitlines()
    output = [line for line in lines if line]
    if status == "status 0":
        return output
    errors = [line.partition("ERROR:")[2].strip() for line in output if "ERROR:" in line]
    reason = errors[0] if errors else (output[-1] if output else status)
    raise TollgateError(f"{words[0]}: {reason}", HINT)


def repository_over_sql(postgres: Postgres) -> Repository:
    """The repository, read over an SQL connection."""
    return Repository(lambda words: "\n".join(run_over_sql(postgres, words)))


def broken(backups: Sequence[Base], archived: Archived) -> bool:
    """True if the newest base backup does not connect to the newest archived WAL: another cluster, or a gap.

    New writes cannot be restored then, until the next base backup.
    """
    if not backups:
        return True
    newest = backups[-1]
    chains = reach.chains([newest], archived)
    if not chains or any(_number(archive) > _number(newest.archive) for archive in archived):
        return True
    return chains[0].files[-1][0] != max(archived[newest.archive])


def scheduled(backups: Sequence[Base], archived: Archived, now: datetime) -> Kind:
    """Which kind of base backup the scheduler takes next."""
    fulls = [base for base in backups if base.kind == "full"]
    return "full" if broken(backups, archived) or now - fulls[-1].ended > FULL_EVERY else "diff"


def _number(archive: str) -> int:
    """The number of the cluster: 2 for 17-2, the second cluster in this repository."""
    return int(archive.rpartition("-")[2])
