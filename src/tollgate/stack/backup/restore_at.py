"""`tollgate restore --at MOMENT`: the database as it was, made beside the live one, then restored like any archive.

    what is reachable is said → a second Postgres of base backup and log, up to the moment → an archive of it
    → restore.py from here on: loaded beside the live database, every row counted, exchanged, kept what was there

The live cluster stays as it is: its passwords, its log and so every other moment. A failure on the way changes nothing.
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
from tollgate.stack.backup.recover import Recovery
from tollgate.stack.backup.repository import POSTGRES, Repository, options
from tollgate.stack.backup.restore import GIB, Restore
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import settings
from tollgate.stack.deploy import Display

FORMS = 'expected a moment such as "2026-11-21 10:00" (UTC) or 2026-11-21T10:00:00+01:00'
PATIENCE = 30.0
# A transaction that nothing else comes of, so that the log has a commit after every moment up to now; then the file it
# is in is finished, and goes to the archive.
_FINISH = "SELECT pg_current_xact_id();\nSELECT pg_walfile_name(pg_switch_wal());"
# The base backup as a cluster, a dump of it, and the dump again in the archive.
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
        """What is reachable, and what this would do. TollgateError with the range for a moment outside of it."""
        chosen = settings(self.site)
        self._compose = Compose.core(self.site, chosen.compose_project_name)
        self._compose.must_be_rendered()
        repository = Repository.of(self._compose)
        if chosen.backup_schedule:
            self._archive_what_there_is()
        reaches = repository.reaches()
        if not reaches:
            raise TollgateError(
                "no moment can be restored: there is no base backup with an archived log",
                "`make backup-schedule` turns that on; `make restore FILE=...` brings an archive back",
            )
        found = [base for one in reaches if (base := one.base_for(self.moment))]
        if not found:
            raise TollgateError(
                f"{self.moment:%Y-%m-%d %H:%M:%S} UTC is out of reach; nothing was changed",
                f"a moment can be restored from {reach.words(reaches)}",
            )
        self.base = found[-1]
        needed = self.base.size * ROOM
        if repository.free() < needed:
            free = repository.free() / GIB
            raise TollgateError(
                f"expected {needed / GIB:.1f} GiB free for a second database, found {free:.1f}", "make room"
            )
        return [
            f"reachable: {reach.words(reaches)}",
            f"the database as of {self.moment:%Y-%m-%d %H:%M:%S} UTC, from base backup {self.base.label}; what was "
            "written since is set aside",
            "tenants/, config/ and secrets/ stay as they are",
        ]

    def run(self) -> None:
        began = time.monotonic()
        name = f"{self._compose.project}-recovery"
        recovery = Recovery(name, self._compose.environment["POSTGRES_IMAGE"], options(self._compose))
        with self.display.step("recover"), recovery.of(self.base, self.moment, self.display) as postgres:
            made = make(self.site, postgres, Secrets(omit=True), self.display, prefix="at", moment=self.moment)
        self.seconds["recover"] = time.monotonic() - began
        self.display.done("recover", self.seconds["recover"], f"{self.moment:%Y-%m-%d %H:%M:%S} UTC")
        file: Path = made.archive.file
        self.restore = Restore(
            self.site, file, self.display, database_only=True, allow_engine_install=self.allow_engine_install
        )
        try:
            self.restore.check()
            self.restore.run()
        except TollgateError as error:
            error.hint = f"{error.hint or 'mend the cause'}; that moment is kept as {file}, which `restore` takes too"
            raise
        self.seconds |= self.restore.seconds
        file.unlink()

    def _archive_what_there_is(self) -> None:
        running = self._compose.running()
        if POSTGRES not in running:
            return
        postgres = Postgres(running[POSTGRES][0])
        if not archived_up_to_now(postgres):
            self.display.say(f"the log is not archived within {PATIENCE:.0f} s: what is reachable ends before now")


def archived_up_to_now(postgres: Postgres) -> bool:
    """Finish the running file of the log and wait until it is archived; False where it is not within `PATIENCE`."""
    last = postgres.sql(_FINISH).split()[-1]
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if postgres.sql("SELECT coalesce(max(last_archived_wal), '') FROM pg_stat_archiver").strip() >= last:
            return True
        time.sleep(0.2)
    return False


def moment_of(text: str) -> datetime:
    """A moment as people write it, in UTC unless it says otherwise."""
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise TollgateError(f"{FORMS}, found {text[:60]!r}") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
