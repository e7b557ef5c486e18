"""A soft limit refuses nothing; usage marks the tenant that has spent it."""

from __future__ import annotations

from typing import Any

from tests.support import ledger
from tollgate.ledger.usage import Usage, past_soft_limit, usage


def with_soft(soft: float | None, **limits: Any) -> Usage:
    team = ledger.team({"soft_limit": soft, **limits})
    found = usage(ledger.answer() | {"teams": [team]}, ledger.TENANT, ledger.NOW)
    assert found is not None
    return found


def of(one: Usage) -> bool | None:
    return past_soft_limit(one.team, one.windows)


def test_the_month_counts_where_there_is_a_monthly_limit() -> None:
    spent = with_soft(None).month.totals.spend
    assert of(with_soft(float(spent))) is True
    assert of(with_soft(float(spent) + 1)) is False


def test_the_day_counts_where_the_daily_limit_is_the_only_one() -> None:
    daily = {"monthly_limit": None, "weekly_limit": None}
    today = with_soft(None).windows[0].totals.spend
    assert today < with_soft(None).month.totals.spend, "twin: the two windows differ"
    assert of(with_soft(float(today) + 1, **daily)) is False
    assert of(with_soft(float(today), **daily)) is True


def test_without_one_there_is_nothing_to_say() -> None:
    assert of(with_soft(None)) is None
