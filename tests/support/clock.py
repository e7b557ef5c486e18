"""Limits and budgets have windows by the clock: a test that fills one begins where enough of it is left."""

from __future__ import annotations

import time

from tests.support.eventually import eventually

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


def until_the_minute_has_left(seconds: float = 10) -> None:
    """Wait for the next minute if this one is over sooner. Ten seconds are a handful of calls on a busy machine."""
    _until(MINUTE_S, seconds)


def until_the_hour_has_left(seconds: float) -> None:
    """Wait for the next hour (UTC) if this one, and with it the day, week or month it may end, is over sooner."""
    _until(HOUR_S, seconds)


def until_the_day_has_left(seconds: float) -> None:
    """The same for the day (UTC). Our budgets reopen at midnight exactly."""
    _until(DAY_S, seconds)


def _until(length: float, seconds: float) -> None:
    def enough() -> bool:
        """There is enough left of the minute, hour or day"""
        return length - time.time() % length >= seconds

    eventually(enough, within=seconds + 5, every=0.5)
