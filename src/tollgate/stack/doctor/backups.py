"""Checks the backups: whether the ledger of today could be restored tomorrow."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from tollgate.errors import TollgateError
from tollgate.stack.backup.state import OLD, State, ago, state, words
from tollgate.stack.deployment import Deployment
from tollgate.stack.doctor.finding import Finding

LOGS = "`make logs S=postgres` and `make logs S=backup` say why; docs/runbooks/restore.md"


def backups(deployment: Deployment, *, healthy: bool) -> Iterator[Finding]:
    """`healthy`: whether Postgres is healthy, so that the check can ask it."""
    chosen = deployment.settings
    if chosen.backup_schedule and not healthy:
        yield Finding.skip("backups", "postgres is not healthy")
        return
    now = datetime.now(UTC)
    try:
        current = state(deployment, now)
    except TollgateError as error:
        yield Finding.fail("backups", error.message, error.hint)
        return
    yield judged(current, now)
    if current.schedule and not chosen.backup_age_recipient:
        hint = "run `tollgate backup --make-key FILE`, keep FILE on another machine, then run `make deploy`"
        yield Finding.warn("backups", "the schedule's archives hold no secrets: no BACKUP_AGE_RECIPIENT", hint)


def judged(current: State, now: datetime) -> Finding:
    if current.failing:
        return Finding.fail("backups", words(current, now), f"beyond 2 GiB pgBackRest drops the WAL: {LOGS}")
    if current.last is not None and now - current.last > OLD:
        return Finding.warn("backups", f"the last archive was taken {ago(current.last, now)}", LOGS)
    if not current.schedule:
        hint = "run `make backup-schedule`: it takes an archive each night, and you can restore any moment"
        return Finding.warn("backups", "no schedule takes backups", hint)
    if current.since is None:
        return Finding.warn("backups", words(current, now), f"the container `backup` takes it when it starts: {LOGS}")
    return Finding.ok("backups", words(current, now))
