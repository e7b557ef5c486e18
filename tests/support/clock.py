"""Limits and budgets have windows by the clock: a test that fills one begins where enough of it is left."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import httpx

from tests.support.eventually import eventually
from tollgate.litellm import normalize

HOUR_S, DAY_S = 3600, 86400


def until_the_hour_has_left(seconds: float) -> None:
    """Wait for the next hour (UTC) if this one, and with it the day, week or month it may end, is over sooner."""
    _until(HOUR_S, seconds)


def until_the_day_has_left(seconds: float, admin: httpx.Client, tenant: str) -> None:
    """The same for the day (UTC), where `tenant` has a budget and was there yesterday.

    LiteLLM reopens its windows within a minute or two of midnight, and counts what was spent before that to yesterday.
    """
    _until(DAY_S, seconds)

    def reopened() -> bool:
        """LiteLLM has reopened the budget of the day before"""
        row = admin.get("/team/info", params={"team_id": tenant}).raise_for_status().json()["team_info"]
        return not normalize.reset_is_due(row, datetime.now(UTC))

    eventually(reopened, within=150, every=1)


def _until(length: float, seconds: float) -> None:
    def enough() -> bool:
        """There is enough left of the hour or day"""
        return length - time.time() % length >= seconds

    eventually(enough, within=seconds + 5, every=0.5)
