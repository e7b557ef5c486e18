"""Calendar windows in UTC: an hour, a day, a week from Monday, a month. Fixed, so all replicas agree on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# LiteLLM's durations; `30d` also ends with the month there (docs/facts.md 2).
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
ADJECTIVES = {"hour": "hourly", "day": "daily", "week": "weekly", "month": "monthly"}


@dataclass(frozen=True)
class Window:
    """One hour, day, week or month that time passes through."""

    unit: str
    start: datetime
    end: datetime

    @property
    def adjective(self) -> str:
        return ADJECTIVES[self.unit]

    @property
    def label(self) -> str:
        """In the name of a counter: 2026-11-21T13 for an hour, 2026-11-21 for a day or week, 2026-11 for a month."""
        return self.start.strftime({"hour": "%Y-%m-%dT%H", "month": "%Y-%m"}.get(self.unit, "%Y-%m-%d"))

    @property
    def reopens(self) -> str:
        """For people: `Nov 22 00:00 UTC`."""
        return f"{self.end:%b} {self.end.day} {self.end:%H:%M} UTC"

    @property
    def resets_at(self) -> int:
        return int(self.end.timestamp())

    def seconds_left(self, now: datetime) -> int:
        """Whole seconds, at least one: who waits them is not early."""
        return max(1, math.ceil((self.end - now).total_seconds()))


def window(unit: str, now: datetime) -> Window:
    """The window of this kind that `now` falls into. Raises KeyError for an unknown one."""
    now = now.astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
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
