"""`tollgate restore --at MOMENT`: recovers the database of that moment in a second Postgres, then restores it.

    show the moments that can be restored → start a second Postgres from base backup and WAL → write an archive of it
    → archive.py from here: load it into a second database, count every row, swap, save the old database

The live cluster keeps its passwords and its WAL, and with them every other moment. A failure changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import reach
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import Secrets, make
from tollgate.stack.backup.reach import Base
from tollgate.stack.backup.repository import POSTGRES, Repository, options
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.progress import Display
from tollgate.stack.restore.archive import GIB, Restore
from tollgate.stack.restore.recover import Recovery

FORMS = 'expected a moment such as "2026-11-21 10:00" (UTC) or 2026-11-21T10:00:00+01:00'
PATIENCE = 30.0  # seconds
# An empty transaction, so that the WAL has a commit after every moment up to now. Then Postgres finishes the WAL file
# with this commit and archives it.
_FINISH = "SELECT pg_current_xact_id();\nSELECT pg_walfile_name(pg_switch_wal());"
# Disk space in sizes of the base backup: the second cluster, its dump, and the dump again in the archive.
ROOM = 2


@dataclass
class RestoreAt:
    """One restore to a moment. `check` changes nothing; `run` needs the deployment's lock."""

    site: Site
    moment: datetime
    display: Display
    allow_engine_install: bool = True
    base: Base = field(init=False)
    restore: Restore = field(init=False)
    seconds: dict[str, float] = field(default_factory=dict, init=False)

    def check(self) -> list[str]:
        """Lines with the moments that can be restored and the changes. TollgateError for any other moment."""
        deployment = Deployment.of(self.site)
        self._compose = deployment.compose
        self._compose.must_be_rendered()
        repository = Repository.of(self._compose)
        if deployment.settings.backup_schedule:
            self._archive_newest_wal()
        reaches = repository.reaches()
        if not reaches:
            raise TollgateError(
                "no moment can be restored: there is no base backup with archived WAL",
                "`make backup-schedule` turns this on; `make restore FILE=...` restores an archive",
            )
        bases = [base for each in reaches if (base := each.base_for(self.moment))]
        if not bases:
            raise TollgateError(
                f"{self.moment:%Y-%m-%d %H:%M:%S} UTC is out of reach; nothing was changed",
                f"choose a moment from {reach.words(reaches)}",
            )
        self.base = bases[-1]
        needed = self.base.size * ROOM
        if repository.free() < needed:
            free = repository.free() / GIB
            raise TollgateError(
                f"expected {needed / GIB:.1f} GiB free for a second database, found {free:.1f}", "free disk space"
            )
        return [
            f"reachable: {reach.words(reaches)}",
            f"the database as of {self.moment:%Y-%m-%d %H:%M:%S} UTC, from base backup {self.base.label}; everything "
            "written since then is set aside",
            "tenants/, config/ and secrets/ stay as they are",
        ]

    def run(self) -> None:
        began = time.monotonic()
        name = f"{self._compose.project}-recovery"
        recovery = Recovery(name, self._compose.environment["POSTGRES_IMAGE"], options(self._compose))
        with self.display.step("recover"), recovery.of(self.base, self.moment, self.display) as postgres:
            backup = make(self.site, postgres, Secrets(omit=True), self.display, prefix="at", moment=self.moment)
        self.seconds["recover"] = time.monotonic() - began
        self.display.done("recover", self.seconds["recover"], f"{self.moment:%Y-%m-%d %H:%M:%S} UTC")
        file: Path = backup.archive.file
        self.restore = Restore(
            self.site, file, self.display, database_only=True, allow_engine_install=self.allow_engine_install
        )
        try:
            self.restore.check()
            self.restore.run()
        except TollgateError as error:
            error.hint = f"{error.hint or 'fix the cause'}; {file} has the database of that moment, to restore later"
            raise
        self.seconds |= self.restore.seconds
        file.unlink()

    def _archive_newest_wal(self) -> None:
        running = self._compose.running()
        if POSTGRES not in running:
            return
        postgres = Postgres(running[POSTGRES][0])
        if not archived_up_to_now(postgres):
            self.display.say(f"the WAL was not archived within {PATIENCE:.0f} s: the newest moments cannot be restored")


def archived_up_to_now(postgres: Postgres) -> bool:
    """Finish the current WAL file and wait until it is archived. False if this takes longer than `PATIENCE`."""
    last = postgres.sql(_FINISH).split()[-1]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if postgres.sql("SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver").strip() >= last:
            return True
        time.sleep(0.2)
    return False


def moment_of(text: str) -> datetime:
    """Parse a moment. Without an offset it is UTC."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TollgateError(f"{FORMS}, found {text[:60]!r}") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
