"""All tenants for the console: which budgets end soon, at the pace of their window so far."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tollgate.ledger.everybody import ending, everybody, values
from tollgate.ledger.rows import LedgerLimits, LedgerTeam
from tollgate.ledger.sums import Totals
from tollgate.ledger.usage import Line, Spent, windows_of

# A Wednesday at noon: half of the day is over.
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def line(team: str, duration: str, spent: str, limit: str | None, now: datetime = NOON) -> Line:
    """A tenant with one limit."""
    budgets = {} if limit is None else {duration: Decimal(limit)}
    found = LedgerTeam(team, team, "active", limits=LedgerLimits(budgets))
    used = Totals(Decimal(spent))
    windows = [Spent(window, used, budgets.get(length)) for length, window in windows_of(now)]
    return Line(found, tuple(windows))


def ends(one: Line, now: datetime = NOON) -> list[tuple[str, datetime | None]]:
    return [(found.spent.window.name, found.ends) for found in ending([one], now)]


def test_a_budget_ends_when_its_pace_says_so() -> None:
    # Half of it in half of the day would end at midnight, when it begins again: that is not soon.
    assert ends(line("even", "1d", "5", "10")) == []
    assert ends(line("fast", "1d", "6", "10")) == [("today", datetime(2026, 11, 18, 20, tzinfo=UTC))]
    assert ends(line("slow", "1d", "4", "10")) == []


def test_what_is_nearly_spent_is_told_at_any_pace() -> None:
    late = datetime(2026, 11, 18, 23, 59, tzinfo=UTC)
    ((name, when),) = ends(line("even", "1d", "8.1", "10", late), late)
    assert name == "today" and when is not None and when > datetime(2026, 11, 19, tzinfo=UTC)
    assert ends(line("even", "1d", "7.9", "10", late), late) == []


def test_the_first_requests_of_a_window_are_no_pace() -> None:
    early = datetime(2026, 11, 18, 0, 1, tzinfo=UTC)
    assert ends(line("early", "1d", "2.4", "10", early), early) == []
    assert ends(line("early", "1d", "2.6", "10", early), early) != [], "the twin: a quarter in a minute is one"


@pytest.mark.parametrize("spent", ["10", "11"])
def test_a_budget_that_has_ended_has_no_moment(spent: str) -> None:
    assert ends(line("over", "1d", spent, "10")) == [("today", None)]


def test_without_a_limit_or_with_nothing_spent_nothing_ends() -> None:
    assert ends(line("free", "1d", "1000", None)) == []
    assert ends(line("idle", "1d", "0", "10")) == []
    assert ends(line("none", "1d", "0", "0")) == []


def test_what_ends_first_comes_first() -> None:
    lines = [line("b", "1d", "6", "10"), line("a", "1d", "9", "10"), line("over", "1d", "12", "10")]
    assert [found.team.id for found in ending(lines, NOON)] == ["over", "a", "b"]


def test_the_first_moment_of_a_window_divides_by_nothing() -> None:
    midnight = datetime(2026, 11, 18, tzinfo=UTC)
    assert ends(line("new", "1d", "9", "10", midnight), midnight) == [("today", None)]


def test_models_are_by_spend_and_the_server_is_named() -> None:
    row = {"requests": 1, "failed": 0, "tokens_in": 3, "tokens_out": 2, "cache_read": 0, "cache_written": 0}
    models = [{"model": name, "today": "1", "spend": spend, **row} for name, spend in (("cheap", "1"), ("dear\n", "7"))]
    server = [{"version": "15.1", "started": 1763450000.5, "bytes": 7}]
    found = everybody({"teams": [], "sums": [], "models": models, "server": server}, NOON)
    assert [one.model for one in found.models] == ["dear\N{REPLACEMENT CHARACTER}", "cheap"]
    assert (found.server.version, found.server.bytes, found.server.started.year) == ("15.1", 7, 2025)


def test_the_windows_of_the_question_are_those_of_the_moment() -> None:
    assert values(NOON) == {
        "today": "2026-11-18",
        "tomorrow": "2026-11-19",
        "week": "2026-11-16",
        "week_end": "2026-11-23",
        "month": "2026-11-01",
        "month_end": "2026-12-01",
    }
