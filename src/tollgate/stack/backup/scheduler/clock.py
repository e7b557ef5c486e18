"""When the next run is: by the schedule, at once for one that was missed, and soon again after one that failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from tollgate.config.schedule import following

SOON = timedelta(seconds=20)
LATEST = timedelta(minutes=10)


@dataclass
class Clock:
    """`due` is when to run next; failures are counted until a run succeeds."""

    schedule: str
    due: datetime
    failures: int = 0

    @classmethod
    def since(cls, schedule: str, last: datetime | None, now: datetime) -> Clock:
        """A run that should have been since the last good one, while this was off, is made up for now."""
        return cls(schedule, following(schedule, last) if last and last < now else now)

    def succeeded(self, now: datetime) -> None:
        self.failures = 0
        self.due = following(self.schedule, now)

    def failed(self, now: datetime) -> None:
        """Again after 20 s, then each time twice as long: what is in the way is often over soon (a deploy)."""
        self.due = now + min(SOON * 2**self.failures, LATEST)
        self.failures = min(self.failures + 1, 10)
