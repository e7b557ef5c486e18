"""How backups stand, for `status` and `doctor`: the schedule, the last archive, the archived log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tollgate.config.env import Settings
from tollgate.config.schedule import following
from tollgate.ledger.figures import room
from tollgate.site import Site
from tollgate.stack.backup import metric
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.reach import usable_from
from tollgate.stack.backup.repository import POSTGRES, Repository
from tollgate.stack.compose import Compose

# Seconds since 1970 of the last file that was archived, empty for none; and whether the last try failed.
_ARCHIVER = """
SELECT extract(epoch FROM last_archived_time)::bigint,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver
"""
OLD = timedelta(hours=36)


@dataclass(frozen=True)
class State:
    """`following` is the next run, `last` the last good archive. The rest is of the log: `archived` when its last file
    was, `failing` that a later one could not be, `since` when the reach of a restore begins, `bytes` what is kept.
    """

    schedule: str
    following: datetime | None
    last: datetime | None
    archived: datetime | None = None
    failing: bool = False
    since: datetime | None = None
    bytes: int = 0


def state(site: Site, compose: Compose, chosen: Settings, now: datetime) -> State:
    """TollgateError where Postgres runs and does not answer."""
    schedule, last = chosen.backup_schedule, metric.last(site)
    running = compose.running()
    if not schedule or POSTGRES not in running:
        return State(schedule, following(schedule, now) if schedule else None, last)
    container = running[POSTGRES][0]
    epoch, failing = Postgres(container).sql(_ARCHIVER).rstrip("\n").split("\t")
    repository = Repository.inside(container)
    chains = repository.chains()
    return State(
        schedule,
        following(schedule, now),
        last,
        archived=datetime.fromtimestamp(int(epoch), UTC) if epoch else None,
        failing=failing == "t",
        since=usable_from(chains[-1].bases[0]) if chains else None,
        bytes=repository.size(),
    )


def words(found: State, now: datetime) -> str:
    """One line."""
    last = f"last archive {ago(found.last, now)}" if found.last else "no archive yet"
    if not found.schedule:
        return f"none by themselves (`make backup-schedule`); {last}"
    when = f'at "{found.schedule}" (UTC), next {found.following:%Y-%m-%d %H:%M}; {last}'
    if found.failing:
        return f"{when}; THE LOG IS NOT ARCHIVED, last {ago(found.archived, now) if found.archived else 'never'}"
    if not found.since:
        return f"{when}; no base backup yet"
    log = f", log archived {ago(found.archived, now)}" if found.archived else ""
    return f"{when}; any moment since {found.since:%Y-%m-%d %H:%M:%S}{log}, {room(found.bytes)} kept"


def ago(moment: datetime, now: datetime) -> str:
    """In the largest unit of which there are two."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
