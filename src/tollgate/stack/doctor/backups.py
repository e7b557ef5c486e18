"""Whether what is written today could be brought back tomorrow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tollgate.config.env import Settings
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup.state import OLD, State, ago, state, words
from tollgate.stack.compose import Compose
from tollgate.stack.doctor.finding import Finding

LOGS = "`make logs S=postgres` and `make logs S=backup` say why; docs/runbooks/restore.md"


def backups(site: Site, compose: Compose, chosen: Settings, *, healthy: bool) -> Iterator[Finding]:
    """`healthy`: whether Postgres can be asked."""
    if chosen.backup_schedule and not healthy:
        yield Finding.skip("backups", "postgres is not healthy")
        return
    now = datetime.now(UTC)
    try:
        found = state(site, compose, chosen, now)
    except TollgateError as error:
        yield Finding.fail("backups", error.message, error.hint)
        return
    yield judged(found, now)
    if found.schedule and not chosen.backup_age_recipient:
        hint = "`tollgate backup --make-key FILE`, keep FILE elsewhere, then `make deploy`"
        yield Finding.warn("backups", "the schedule's archives hold no secrets: no BACKUP_AGE_RECIPIENT", hint)


def judged(found: State, now: datetime) -> Finding:
    if found.failing:
        return Finding.fail("backups", words(found, now), f"after 2 GiB of it the log is dropped: {LOGS}")
    if found.last is not None and now - found.last > OLD:
        return Finding.warn("backups", f"the last archive was taken {ago(found.last, now)}", LOGS)
    if not found.schedule:
        hint = "`make backup-schedule`: an archive each night, and any moment can be restored"
        return Finding.warn("backups", "none are taken by themselves", hint)
    if found.since is None:
        return Finding.warn("backups", words(found, now), f"it is taken when the schedule's container starts: {LOGS}")
    return Finding.ok("backups", words(found, now))
