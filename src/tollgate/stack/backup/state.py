"""The state of backups for `status` and `doctor`: the schedule, the last archive, the archived WAL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tollgate.config.env.schedule import following
from tollgate.figures import room
from tollgate.stack.backup import metric
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.reach import usable_from
from tollgate.stack.backup.repository import POSTGRES, Repository
from tollgate.stack.deployment import Deployment

# The time of the last archived WAL file (seconds since 1970, empty if none), and whether a later try failed.
_ARCHIVER = """
SELECT extract(epoch FROM last_archived_time)::bigint,
       coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false) FROM pg_stat_archiver
"""
OLD = timedelta(hours=36)


@dataclass(frozen=True)
class State:
    """`following` is the next run, `last` the time of the last good archive.

    The rest is about base backups and WAL. `archived` is the time of the last archived WAL file. `failing`: a later
    file could not be archived. `since` is the first moment that can be restored. `bytes` is the repository's size.
    """

    schedule: str
    following: datetime | None
    last: datetime | None
    archived: datetime | None = None
    failing: bool = False
    since: datetime | None = None
    bytes: int = 0


def state(deployment: Deployment, now: datetime) -> State:
    """TollgateError if Postgres runs and does not answer."""
    schedule, last = deployment.settings.backup_schedule, metric.last(deployment.site)
    running = deployment.compose.running()
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


def words(backups: State, now: datetime) -> str:
    """The state as one line."""
    last = f"last archive {ago(backups.last, now)}" if backups.last else "no archive yet"
    if not backups.schedule:
        return f"no schedule (`make backup-schedule` sets one); {last}"
    when = f'at "{backups.schedule}" (UTC), next {backups.following:%Y-%m-%d %H:%M}; {last}'
    if backups.failing:
        return f"{when}; THE WAL IS NOT ARCHIVED, last {ago(backups.archived, now) if backups.archived else 'never'}"
    if not backups.since:
        return f"{when}; no base backup yet"
    wal = f", WAL archived {ago(backups.archived, now)}" if backups.archived else ""
    return f"{when}; any moment since {backups.since:%Y-%m-%d %H:%M:%S}{wal}, {room(backups.bytes)} kept"


def ago(moment: datetime, now: datetime) -> str:
    """In the largest unit that gives at least 2: 119 min, then 2 h."""
    seconds = max(0, int((now - moment).total_seconds()))
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"
