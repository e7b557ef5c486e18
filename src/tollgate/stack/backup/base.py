"""A base backup for restores to a moment: pgBackRest beside the database, started through a connection to it.

So it needs neither the database's files nor its container: the schedule asks for it over the network.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from tollgate.errors import TollgateError
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.reach import STANZA

Kind = Literal["full", "diff"]
# What it says comes as rows; of a program that failed Postgres would say no more than that it did.
_RUN = """
CREATE TEMPORARY TABLE said (number serial, line text);
COPY said (line) FROM PROGRAM $program${program} 2>&1 | tr -d '\\000\\\\'; true$program$ WITH (DELIMITER E'\\x1f');
SELECT line FROM said ORDER BY number;
"""
_LABEL = re.compile(r"new backup label = (\S+)")


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
    program = f"pgbackrest --stanza={STANZA} --log-level-console=info --type={kind} backup"
    said = postgres.sql(_RUN.replace("{program}", program)).splitlines()
    label = next((found[1] for line in said if (found := _LABEL.search(line))), "")
    errors = [line.partition("ERROR:")[2].strip() for line in said if "ERROR:" in line]
    if errors or not label:
        telling = errors[0] if errors else (said[-1] if said else "no message")
        raise TollgateError(f"pgBackRest: {telling}", "`make logs S=postgres` tells more; docs/runbooks/restore.md")
    return Taken(label, tuple(said))
