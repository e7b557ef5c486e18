"""Postgres over the network, by the client programs of this container; its password is in a file that libpq reads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tollgate.stack.backup.database import Postgres


@dataclass(frozen=True)
class NetworkPostgres(Postgres):
    """`container` is its name on the network."""

    def _command(self, tool: str, *arguments: str) -> list[str]:
        connects = tool in ("psql", "pg_dump") or "-d" in arguments
        return [tool, *(("-h", self.container, "-U", self.user, "-w") if connects else ()), *arguments]


def log_in(secret: Path, passfile: Path) -> None:
    """Write libpq's password file, 0600, and name it to the programs that this one starts."""
    password = secret.read_text().strip().replace("\\", "\\\\").replace(":", "\\:")
    passfile.touch(mode=0o600)
    passfile.write_text(f"*:*:*:*:{password}\n")
    os.environ["PGPASSFILE"] = str(passfile)
