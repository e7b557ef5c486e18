"""The current windows, computed once a second instead of once a request.

Windows follow the caller's clock, not that of Redis. Redis must be told the name of each counter before its script
runs, and the name contains the window. All processes of a gateway run on one host and share its clock. A process whose
clock is wrong by a second counts in the neighbouring window for that second; it never counts twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from tollgate.services.limits.windows import Window, window

# A time that another process wrote into Redis is believed if it is at most this many seconds ahead. All processes share
# the clock of their host, so it can be ahead only if somebody has set that clock back.
AHEAD_S = 5.0
UNITS = ("minute", "hour", "day", "week", "month")
# A counter outlives its window by this much, for requests that end late.
KEEP_S = 600


class Now(NamedTuple):
    """One current window: its label in names of counters, and the seconds until Redis may forget its counters."""

    label: str
    ttl: int
    window: Window | None


# Running requests have leases instead of a window.
_NO_WINDOW = Now("", 0, None)


class Clock:
    def __init__(self) -> None:
        self._second = -1
        self._windows: Mapping[str, Now] = {}

    def at(self, now: datetime) -> Mapping[str, Now]:
        """The windows by unit. The empty unit is that of running requests."""
        second = int(now.timestamp())
        if second != self._second:
            self._windows = {"": _NO_WINDOW, **{unit: _now(window(unit, now), second) for unit in UNITS}}
            self._second = second
        return self._windows


def _now(inside: Window, second: int) -> Now:
    return Now(inside.label, inside.resets_at - second + KEEP_S, inside)
