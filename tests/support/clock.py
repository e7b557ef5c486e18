"""Limits and budgets have windows by the clock: a test that fills one begins where enough of it is left."""

from __future__ import annotations

import time

from tests.support.eventually import eventually

HOUR_S = 3600


def until_the_hour_has_left(seconds: float) -> None:
    """Wait for the next hour (UTC) if this one, and with it the day, week or month it may end, is over sooner."""

    def enough() -> bool:
        """The hour has enough left"""
        return HOUR_S - time.time() % HOUR_S >= seconds

    eventually(enough, within=seconds + 5, every=0.5)
