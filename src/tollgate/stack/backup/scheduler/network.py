"""Reaches Postgres over the network with this container's client programs. libpq reads the password from a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tollgate import disk
from tollgate.stack.backup.database import Postgres


@dataclass(frozen=True)
class NetworkPostgres(Postgres):
    """`container` is Postgres's name on the network."""

    def _command(self, tool: str, *arguments: str) -> list[str]:
        connects = tool in ("psql", "pg_dump") or "-d" in arguments
        return [tool, *(("-h", self.container, "-U", self.user, "-w") if connects else ()), *arguments]


def log_in(secret: Path, passfile: Path) -> None:
    """Write libpq's password file (0600) and set PGPASSFILE, which child processes inherit."""
    password = secret.read_text().strip().replace("\\", "\\\\").replace(":", "\\:")
    disk.replace(passfile, f"*:*:*:*:{password}\n", 0o600)
    os.environ["PGPASSFILE"] = str(passfile)
