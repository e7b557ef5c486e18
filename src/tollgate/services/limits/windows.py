"""Calendar windows in UTC: minute, hour, day, week from Monday, month. All replicas compute the same windows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# LiteLLM's durations. Its `30d` also ends at the end of the month.
OF_DURATION = {
    "1h": "hour",
    "1d": "day",
    "24h": "day",
    "7d": "week",
    "1w": "week",
    "30d": "month",
    "1mo": "month",
    "hourly": "hour",
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
}
_LABELS = {"minute": "%Y-%m-%dT%H:%M", "hour": "%Y-%m-%dT%H", "month": "%Y-%m"}
ADJECTIVES = {"hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}


@dataclass(frozen=True)
class Window:
    """One minute, hour, day, week or month, from `start` to `end` (UTC)."""

    unit: str
    start: datetime
    end: datetime

    @property
    def adjective(self) -> str:
        return ADJECTIVES[self.unit]

    @property
    def label(self) -> str:
        """Part of a counter's name: 2026-11-21T13 for an hour, 2026-11-21 for a day or week, 2026-11 for a month."""
        return self.start.strftime(_LABELS.get(self.unit, "%Y-%m-%d"))

    @property
    def reopens(self) -> str:
        """For people: `Nov 22 00:00 UTC`."""
        return f"{self.end:%b} {self.end.day} {self.end:%H:%M} UTC"

    @property
    def resets_at(self) -> int:
        return int(self.end.timestamp())

    def seconds_left(self, now: datetime) -> int:
        """Whole seconds until the end, rounded up, at least one. A client that waits this long is not too early."""
        return max(1, math.ceil((self.end - now).total_seconds()))


def window(unit: str, now: datetime) -> Window:
    """The window of this unit that contains `now`. Raises KeyError for an unknown unit."""
    now = now.astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "minute":
        start = now.replace(second=0, microsecond=0)
        return Window(unit, start, start + timedelta(minutes=1))
    if unit == "hour":
        start = now.replace(minute=0, second=0, microsecond=0)
        return Window(unit, start, start + timedelta(hours=1))
    if unit == "day":
        return Window(unit, midnight, midnight + timedelta(days=1))
    if unit == "week":
        start = midnight - timedelta(days=midnight.weekday())
        return Window(unit, start, start + timedelta(days=7))
    if unit == "month":
        start = midnight.replace(day=1)
        return Window(unit, start, (start + timedelta(days=32)).replace(day=1))
    raise KeyError(unit)
