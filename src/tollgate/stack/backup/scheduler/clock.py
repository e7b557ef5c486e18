"""Computes the time of the next run: by the schedule; at once after a missed run; soon after a failed run."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tollgate.config.env.schedule import following

SOON = timedelta(seconds=20)
LATEST = timedelta(minutes=10)


@dataclass
class Clock:
    """`due` is the time of the next run. `failures` counts the failed runs since the last good one."""

    schedule: str
    due: datetime
    failures: int = 0

    @classmethod
    def since(cls, schedule: str, last: datetime | None, now: datetime) -> Clock:
        """The next run after `last`. It is in the past if a run was missed, so the scheduler runs at once."""
        return cls(schedule, following(schedule, last) if last and last < now else now)

    def succeeded(self, now: datetime) -> None:
        self.failures = 0
        self.due = following(self.schedule, now)

    def failed(self, now: datetime) -> None:
        """Retry after 20 s, then double the wait, up to 10 min. The cause often ends soon: a deploy, for example."""
        self.due = now + min(SOON * 2**self.failures, LATEST)
        self.failures = min(self.failures + 1, 10)
