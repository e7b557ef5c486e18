"""A test that fills a window of the clock waits for the next one where too little is left."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support import clock, eventually

MIDNIGHT = 1_795_392_000  # 2026-11-23, a Monday, in UTC


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[float]]:
    """The clock says a moment, and from then on moves by what is slept."""

    def say(moment: float) -> list[float]:
        now = [moment]
        monkeypatch.setattr(time, "time", lambda: now[0])
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        monkeypatch.setattr(eventually.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
        return now

    return say


@pytest.mark.parametrize(("before", "after"), [(61, 61), (60, 60), (59, 0), (0.5, 0)])
def test_the_hour_has_enough_left_or_is_waited_for(
    at: Callable[[float], list[float]], before: float, after: float
) -> None:
    now = at(MIDNIGHT - before)
    clock.until_the_hour_has_left(60)
    assert now[0] == MIDNIGHT - after


@pytest.mark.parametrize(("before", "after"), [(61, 61), (30, 0)])
def test_the_day_has_enough_left_or_is_waited_for(
    at: Callable[[float], list[float]], before: float, after: float
) -> None:
    now = at(MIDNIGHT - before)
    clock.until_the_day_has_left(60)
    assert now[0] == MIDNIGHT - after
