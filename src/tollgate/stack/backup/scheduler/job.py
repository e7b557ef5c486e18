"""One scheduled run: takes a base backup, writes an archive and reads it back, deletes what is too old."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tollgate.figures import room
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.base import Kind, base_backup, broken, repository_over_sql, scheduled
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import Secrets, make, prune
from tollgate.stack.host.lock import locked

WHY = "scheduled backup"


@dataclass(frozen=True)
class Job:
    """`tell` prints a line. The job is also the Progress of the functions that it calls."""

    site: Site
    postgres: Postgres
    secrets: Secrets
    keep: int
    days: int
    salt: str
    litellm: str
    tell: Callable[[str], None]

    def run(self) -> None:
        """Do one run. TollgateError if a step fails; the steps before it stay done."""
        with locked(self.site, WHY):
            repository = repository_over_sql(self.postgres)
            repository.ensure()
            self._base(scheduled(repository.bases(), repository.archived(), datetime.now(UTC)))
            backup = make(self.site, self.postgres, self.secrets, self, salt=self.salt, litellm=self.litellm)
            metric.tell(self.site, backup.archive)
            rows = sum(backup.archive.manifest.rows.values())
            self.tell(
                f"{backup.archive.file.name}: {rows:,} rows, {room(backup.bytes)}, verified, in {backup.seconds:.1f} s"
            )
            for file in prune(self.site, self.keep, datetime.now(UTC) - timedelta(days=self.days)):
                self.tell(f"deleted {file.name}")

    def mend(self) -> None:
        """Take a full base backup at once if there is none yet, or if the WAL has a gap after the newest one."""
        repository = repository_over_sql(self.postgres)
        if broken(repository.bases(), repository.archived()):
            with locked(self.site, WHY):
                repository.ensure()
                self._base("full")

    def _base(self, kind: Kind) -> None:
        taken = base_backup(self.postgres, kind)
        metric.tell_base(self.site, datetime.now(UTC))
        self.tell(f"base backup {taken.label} ({taken.kind})")

    def say(self, text: str) -> None:
        self.tell(text)

    def detail(self, text: str) -> None:
        """Ignored: these lines replace each other on a terminal, and here is only a log."""
