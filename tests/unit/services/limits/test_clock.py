"""The current windows, once a second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tollgate.services.limits.clock import KEEP_S, UNITS, Clock

NOW = datetime(2026, 11, 21, 13, 26, 59, 900_000, tzinfo=UTC)


def test_every_unit_has_its_label_and_outlives_its_window() -> None:
    windows = Clock().at(NOW)
    assert {unit: windows[unit].label for unit in windows} == {
        "": "",
        "minute": "2026-11-21T13:26",
        "hour": "2026-11-21T13",
        "day": "2026-11-21",
        "week": "2026-11-16",
        "month": "2026-11",
    }
    assert windows["minute"].ttl == 1 + KEEP_S
    for unit in UNITS:
        inside = windows[unit].window
        assert inside is not None
        assert inside.start <= NOW < inside.end


def test_within_a_second_they_are_the_same_object() -> None:
    clock = Clock()
    assert clock.at(NOW) is clock.at(NOW.replace(microsecond=0))


def test_twin_the_next_second_may_be_another_minute() -> None:
    clock = Clock()
    clock.at(NOW)
    assert clock.at(NOW + timedelta(seconds=1))["minute"].label == "2026-11-21T13:27"
