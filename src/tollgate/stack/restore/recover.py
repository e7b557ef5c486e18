"""A temporary second Postgres, recovered from a base backup and the WAL up to a moment."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from tollgate.errors import TollgateError
from tollgate.render.users import USERS
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.reach import STANZA, Base
from tollgate.stack.containers import volumes
from tollgate.stack.host.commands import ask
from tollgate.stack.host.docker import docker
from tollgate.stack.host.progress import Progress
from tollgate.stack.host.run import run

EVERY = 0.5
DATA = "/var/lib/postgresql/data"
# `hot_standby=off`: Postgres accepts no connection before it reaches the moment, and ignores the old server's settings.
# `fsync=off`: after a crash of this machine, the cluster is recovered again from the same repository.
_SCRIPT = f"""
set -e
pgbackrest --stanza={STANZA} --type=time --target="$1" --target-action=promote --set="$2" restore
exec postgres -c archive_mode=off -c hot_standby=off -c listen_addresses= -c fsync=off -c timezone=UTC
"""


@dataclass(frozen=True)
class Recovery:
    """`name` names the container and its volume. `options` go to `docker run` and mount the repository."""

    name: str
    image: str
    options: Sequence[str]
    user: str = "litellm"

    @contextmanager
    def of(self, base: Base, moment: datetime, progress: Progress) -> Iterator[Postgres]:
        """Yield a Postgres with the databases of `moment`. TollgateError with Postgres's message if it cannot."""
        self.remove()  # left by a run that was killed
        try:
            volumes.give(self.image, USERS["postgres"], {self.name: DATA})
            docker(self._command(base, moment), timeout=120, what="docker run")
            self._wait(progress)
            yield Postgres(self.name, self.user)
        finally:
            self.remove()

    def remove(self) -> None:
        docker(["docker", "rm", "--force", "--volumes", self.name], timeout=120)
        docker(["docker", "volume", "rm", "--force", self.name])

    def _command(self, base: Base, moment: datetime) -> list[str]:
        uid = USERS["postgres"]
        own = ("--tmpfs", f"/var/run/postgresql:uid={uid},gid={uid}", "-v", f"{self.name}:{DATA}:nocopy")
        limits = ("--memory", "1g", "--pids-limit", "256", "--shm-size", "128m")
        run = ["docker", "run", "--detach", "--name", self.name, *self.options, *own, *limits, self.image]
        return [*run, "sh", "-c", _SCRIPT, "sh", f"{moment:%Y-%m-%d %H:%M:%S.%f}+00", base.label]

    def _wait(self, progress: Progress) -> None:
        """Wait without a limit until Postgres answers, which it does after it has replayed the WAL."""
        question = ("psql", "-X", "-A", "-t", "-U", self.user, "-d", "postgres", "-c", "SELECT pg_is_in_recovery()")
        while True:
            if ask("docker", "exec", self.name, *question) == "f":
                return
            state = docker(["docker", "inspect", "--format", "{{.State.Status}}", self.name]).strip()
            lines = self._log()
            if state != "running":
                # "the database system is starting up" only answers our own early questions.
                errors = [
                    line for line in lines if re.search("FATAL|ERROR", line) and "the database system is" not in line
                ]
                reason = (errors or lines[-1:] or [state])[0]
                raise TollgateError(
                    f"Postgres could not recover this moment: {reason}",
                    "choose another moment; nothing was changed",
                )
            progress.detail(lines[-1] if lines else "copying the base backup")
            time.sleep(EVERY)

    def _log(self) -> list[str]:
        done = run(["docker", "logs", "--tail", "50", self.name])
        return [line for line in (done.out + done.err).splitlines() if line.strip()]
