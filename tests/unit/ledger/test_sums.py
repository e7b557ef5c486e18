"""The ledger's arithmetic: nothing is lost or counted twice, whatever the entries; and the calendar of budgets."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tests.support import ledger
from tollgate.errors import TollgateError
from tollgate.ledger.month import Month, month
from tollgate.ledger.sums import NOTHING, Entry, Totals, by, total
from tollgate.ledger.usage import HEALTH_CHECKS, Usage, by_key, overview, usage
from tollgate.ledger.windows import day_of, month_before, month_of, parse_month, week_of

COUNTS = some.integers(0, 10**12)
TOTALS = some.builds(
    Totals,
    some.decimals(0, 10**6, places=9),
    *[COUNTS for _ in fields(Totals)[1:]],
)
DAYS = some.dates(date(2026, 10, 1), date(2026, 11, 30))
ENTRIES = some.lists(some.builds(Entry, DAYS, some.sampled_from("abc"), some.sampled_from("xyz"), TOTALS), max_size=30)


def added(parts: list[Totals]) -> Totals:
    """By another way than the code's: each column by itself."""
    return Totals(
        *(sum((getattr(part, f.name) for part in parts), 0 * getattr(NOTHING, f.name)) for f in fields(Totals))
    )


def answered(entries: list[Entry]) -> dict[str, object]:
    rows = [
        {"day": one.day.isoformat(), "key": one.key, "model": one.model}
        | {f.name: getattr(one.totals, f.name) for f in fields(Totals)}
        for one in entries
    ]
    return ledger.answer() | {"entries": rows}


@given(ENTRIES)
def test_rows_in_are_totals_out(entries: list[Entry]) -> None:
    whole = added([entry.totals for entry in entries])
    assert total(entries) == whole
    for name in ("day", "key", "model"):
        assert added(list(by(entries, lambda entry, name=name: getattr(entry, name)).values())) == whole


@given(ENTRIES)
def test_models_keys_and_days_of_a_month_add_up_to_it(entries: list[Entry]) -> None:
    window = month_of(date(2026, 11, 1))
    end = datetime(2026, 12, 1, tzinfo=UTC)
    found = month(answered(entries), None, ledger.TENANT, window, end)
    assert isinstance(found, Month)
    november = added([entry.totals for entry in entries if entry.day.month == 11])
    assert found.total == november
    assert found.before == added([entry.totals for entry in entries if entry.day.month == 10])
    for parts in (found.models.values(), [key.totals for key in found.keys], found.days.values()):
        assert added(list(parts)) == november
    assert found.cumulative[-1] == november.spend


@given(ENTRIES, some.datetimes(datetime(2026, 11, 1), datetime(2026, 11, 30, 23), timezones=some.just(UTC)))
def test_usage_adds_up_in_every_window(entries: list[Entry], now: datetime) -> None:
    found = usage(answered(entries), ledger.TENANT, now)
    assert isinstance(found, Usage)
    for one in found.windows:
        assert one.totals == added([entry.totals for entry in entries if entry.day in one.window])
    for parts in (found.models.values(), [key.totals for key in found.keys]):
        assert added(list(parts)) == found.month.totals


def test_a_rotated_key_is_one_line_and_a_forgotten_one_is_not_lost() -> None:
    found = usage(ledger.answer(), ledger.TENANT, ledger.NOW)
    assert found is not None
    lines = {key.name: key for key in found.keys}
    assert (lines["alice"].keys, lines["alice"].state) == (2, "active")
    assert lines["bob"].state == "deleted"
    assert lines[f"unnamed {ledger.hash_of(ledger.FORGOTTEN)[:8]}"].totals.requests > 0
    assert lines["carol"].totals == NOTHING


def test_a_deleted_key_that_was_not_used_is_no_line() -> None:
    keys = usage(ledger.answer() | {"entries": []}, ledger.TENANT, ledger.NOW)
    assert keys is not None
    assert [key.name for key in keys.keys] == ["=ci-pipeline", "alice", "carol", "default"]
    assert by_key((), {}) == ()


def test_litellms_own_limits_are_those_of_a_team_made_by_hand() -> None:
    columns = {"max_budget": 50.0, "budget_duration": "1mo", "rpm_limit": 7, "max_parallel_requests": 3}
    columns["budget_limits"] = [{"budget_duration": "1d", "max_budget": 5.0}]
    (ours, theirs) = (
        found.team.limits
        for team in (ledger.team(**columns), ledger.team(**columns) | {"metadata": None})
        if (found := usage(ledger.answer() | {"teams": [team]}, ledger.TENANT, ledger.NOW)) is not None
    )
    assert theirs.budgets == {"1d": 5, "1mo": 50}
    assert theirs.rates == {"requests_per_minute": 7, "max_parallel_requests": 3}
    assert ours.budgets == {"1d": 60, "7d": 400, "1mo": 1200}
    assert (ours.rates["requests_per_minute"], ours.rates["max_parallel_requests"]) == (120, 20)


def test_what_came_in_under_an_alias_counts_against_the_models_cap() -> None:
    def capped(aliases: dict[str, str]) -> Decimal:
        found = usage(ledger.answer(), ledger.TENANT, ledger.NOW, aliases)
        assert found is not None
        return next(one.totals.spend for one in found.caps if one.window.name == "this month")

    found = usage(ledger.answer(), ledger.TENANT, ledger.NOW)
    assert found is not None and capped({}) == found.models["claude-opus-5-5"].spend
    with_alias = capped({"claude-sonnet-5-5": "claude-opus-5-5"})
    assert with_alias == found.models["claude-opus-5-5"].spend + found.models["claude-sonnet-5-5"].spend


def test_unknown_deleted_and_orphaned_tenants() -> None:
    nothing = {"teams": [], "keys": [], "entries": []}
    assert usage(nothing, "nobody", ledger.NOW) is None
    orphan = usage(nothing | {"entries": ledger.entries()}, "left", ledger.NOW)
    assert orphan is not None and orphan.team.state == "deleted"
    lines = {line.team.id: line for line in overview(ledger.everybody(), ledger.NOW)}
    assert list(lines) == [ledger.TENANT, "over", "left", "idle"], (
        "most spent first; deleted ones while they have entries"
    )
    assert lines["over"].month.share == Decimal("1.02")


def test_litellms_own_checks_are_nobodys_deleted_tenant() -> None:
    everybody = ledger.everybody()
    everybody["sums"] = [row | ({"team": HEALTH_CHECKS} if row["team"] == "left" else {}) for row in everybody["sums"]]
    states = {line.team.id: line.team.state for line in overview(everybody, ledger.NOW)}
    assert states[HEALTH_CHECKS] == "internal"
    assert "deleted" not in states.values()


def test_projection() -> None:
    found = month(ledger.answer(), None, ledger.TENANT, month_of(date(2026, 11, 1)), ledger.NOW)
    assert found is not None and found.projected is not None
    gone = Decimal((ledger.NOW - datetime(2026, 11, 1, tzinfo=UTC)) / timedelta(days=30))
    assert abs(found.projected - found.total.spend / gone) < Decimal("0.01")
    assert found.runs_out is None, "it stays just under its limit"
    low = ledger.answer() | {"teams": [ledger.team({"monthly_limit": 900})]}
    tight = month(low, None, ledger.TENANT, month_of(date(2026, 11, 1)), ledger.NOW)
    assert tight is not None and tight.runs_out == date(2026, 11, 23)


@pytest.mark.parametrize("now", [datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 11, 2, 23, 59, tzinfo=UTC)])
def test_a_month_that_is_over_or_has_just_begun_is_not_projected(now: datetime) -> None:
    found = month(ledger.answer(), None, ledger.TENANT, month_of(date(2026, 11, 1)), now)
    assert found is not None and found.projected is None


def test_the_calendar() -> None:
    now = datetime(2026, 1, 1, 0, 0, tzinfo=UTC)
    assert (day_of(now).since, day_of(now).until) == (date(2026, 1, 1), date(2026, 1, 2))
    assert (week_of(now).since, week_of(now).until) == (date(2025, 12, 29), date(2026, 1, 5))
    assert month_before(month_of(now.date())).since == date(2025, 12, 1)
    assert month_of(date(2028, 2, 9)).until == date(2028, 3, 1)
    assert date(2026, 1, 2) not in day_of(now) and date(2026, 1, 1) in day_of(now)


def test_the_month_asked_for() -> None:
    assert parse_month(None, ledger.NOW).since == date(2026, 11, 1)
    assert parse_month("2026-02", ledger.NOW).until == date(2026, 3, 1)
    for wrong in (
        "2026-13",
        "2026-1",
        "november",
        "\u0662\u0660\u0662\u0666-\u0660\u0661",
        "2026-11-01",
        "2026-12",
        "0001-01",
    ):
        with pytest.raises(TollgateError):
            parse_month(wrong, ledger.NOW)
