"""Calendar windows in UTC, and their words for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tollgate.services.limits.windows import OF_DURATION, window

NOW = datetime(2026, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)  # a Thursday


@pytest.mark.parametrize(
    ("unit", "begins", "ends", "label", "reopens"),
    [
        ("hour", "2026-12-31T23:00", "2027-01-01T00:00", "2026-12-31T23", "Jan 1 00:00 UTC"),
        ("day", "2026-12-31T00:00", "2027-01-01T00:00", "2026-12-31", "Jan 1 00:00 UTC"),
        ("week", "2026-12-28T00:00", "2027-01-04T00:00", "2026-12-28", "Jan 4 00:00 UTC"),
        ("month", "2026-12-01T00:00", "2027-01-01T00:00", "2026-12", "Jan 1 00:00 UTC"),
    ],
)
def test_windows_follow_the_calendar(unit: str, begins: str, ends: str, label: str, reopens: str) -> None:
    inside = window(unit, NOW)
    assert (inside.start, inside.end) == tuple(datetime.fromisoformat(f"{at}+00:00") for at in (begins, ends))
    assert (inside.label, inside.reopens) == (label, reopens)


def test_a_client_that_waits_seconds_left_is_not_too_early() -> None:
    inside = window("day", NOW)
    assert inside.seconds_left(NOW) == 1
    assert window("day", NOW + timedelta(seconds=inside.seconds_left(NOW))) != inside


@pytest.mark.parametrize("month", range(1, 13))
def test_a_month_ends_on_the_first(month: int) -> None:
    inside = window("month", datetime(2028, month, 28, tzinfo=UTC))
    assert (inside.end.day, inside.end.month) == (1, month % 12 + 1)


def test_another_time_zone_is_the_same_moment() -> None:
    east = datetime(2026, 11, 22, 0, 30, tzinfo=timezone(timedelta(hours=2)))
    assert window("day", east).label == "2026-11-21"


def test_every_duration_of_litellms_has_a_window() -> None:
    assert {window(unit, NOW).unit for unit in OF_DURATION.values()} == {"hour", "day", "week", "month"}
