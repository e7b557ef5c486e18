"""One run of the schedule: a base backup, an archive that was read back, and what is too old taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tollgate.ledger.figures import room
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.base import Kind, base_backup, beside, broken, scheduled
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import Secrets, make, prune
from tollgate.stack.lock import locked

WHY = "scheduled backup"


@dataclass(frozen=True)
class Job:
    """`tell` is where it says what it did; the job itself is the Progress of what it calls."""

    site: Site
    postgres: Postgres
    secrets: Secrets
    keep: int
    days: int
    salt: str
    litellm: str
    tell: Callable[[str], None]

    def run(self) -> None:
        """TollgateError where any of it failed; what was done before that stays done."""
        with locked(self.site, WHY):
            repository = beside(self.postgres)
            repository.ensure()
            self._base(scheduled(repository.bases(), repository.archived(), datetime.now(UTC)))
            made = make(self.site, self.postgres, self.secrets, self, salt=self.salt, litellm=self.litellm)
            metric.tell(self.site, made.archive)
            rows = sum(made.archive.manifest.rows.values())
            self.tell(f"{made.archive.file.name}: {rows:,} rows, {room(made.bytes)}, verified, in {made.seconds:.1f} s")
            for file in prune(self.site, self.keep, datetime.now(UTC) - timedelta(days=self.days)):
                self.tell(f"deleted {file.name}")

    def mend(self) -> None:
        """A base backup at once where nothing written now could be restored: there is none yet, or a gap since."""
        repository = beside(self.postgres)
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
        """Lines that replace each other are for a terminal."""
