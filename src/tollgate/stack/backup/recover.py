"""A second Postgres beside the live one, made of a base backup and the log up to a moment; gone afterwards."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from tollgate.errors import TollgateError
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.reach import STANZA, Base
from tollgate.stack.docker import docker
from tollgate.stack.progress import Progress

EVERY = 0.5
# `hot_standby=off`: nobody can connect before the moment is reached, and the settings of the time do not matter.
# `fsync=off`: what is lost when this machine stops is made again from the same repository.
_SCRIPT = f"""
set -e
pgbackrest --stanza={STANZA} --type=time --target="$1" --target-action=promote --set="$2" restore
exec postgres -c archive_mode=off -c hot_standby=off -c listen_addresses= -c fsync=off -c timezone=UTC
"""


@dataclass(frozen=True)
class Recovery:
    """`name` is the container's and its volume's; `options` are what `docker run` is given, the repository in them."""

    name: str
    image: str
    options: Sequence[str]
    user: str = "litellm"

    @contextmanager
    def of(self, base: Base, moment: datetime, progress: Progress) -> Iterator[Postgres]:
        """The databases as of `moment`. TollgateError with Postgres's own words where it does not get there."""
        self.remove()  # left by a run that was killed
        try:
            docker(self._command(base, moment), timeout=120, what="docker run")
            self._wait(progress)
            yield Postgres(self.name, self.user)
        finally:
            self.remove()

    def remove(self) -> None:
        docker(["docker", "rm", "--force", "--volumes", self.name], timeout=120)
        docker(["docker", "volume", "rm", "--force", self.name])

    def _command(self, base: Base, moment: datetime) -> list[str]:
        own = ("--tmpfs", "/var/run/postgresql:uid=999,gid=999", "-v", f"{self.name}:/var/lib/postgresql/data")
        limits = ("--memory", "1g", "--pids-limit", "256", "--shm-size", "128m")
        run = ["docker", "run", "--detach", "--name", self.name, *self.options, *own, *limits, self.image]
        return [*run, "sh", "-c", _SCRIPT, "sh", f"{moment:%Y-%m-%d %H:%M:%S.%f}+00", base.label]

    def _wait(self, progress: Progress) -> None:
        """Until it answers, which it does once the log was replayed; as long as that takes."""
        question = ("psql", "-X", "-A", "-t", "-U", self.user, "-d", "postgres", "-c", "SELECT pg_is_in_recovery()")
        while True:
            asked = subprocess.run(["docker", "exec", self.name, *question], capture_output=True, text=True)
            if asked.returncode == 0 and asked.stdout.strip() == "f":
                return
            state = docker(["docker", "inspect", "--format", "{{.State.Status}}", self.name]).strip()
            said = self._said()
            if state != "running":
                # Whoever asked too early was told so, which is no reason.
                told = [
                    line for line in said if re.search("FATAL|ERROR", line) and "the database system is" not in line
                ]
                telling = (told or said[-1:] or [state])[0]
                raise TollgateError(
                    f"the moment could not be reached: {telling}",
                    "nothing was changed; ask for another moment",
                )
            progress.detail(said[-1] if said else "copying the base backup")
            time.sleep(EVERY)

    def _said(self) -> list[str]:
        done = subprocess.run(["docker", "logs", "--tail", "50", self.name], capture_output=True, text=True)
        return [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
