"""A test that fills a window of the clock waits for the next one where too little is left, and for its reopening."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx
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


def test_the_day_is_waited_for_and_its_reopening(at: Callable[[float], list[float]]) -> None:
    now = at(MIDNIGHT - 30)
    asked: list[float] = []

    def answer(request: httpx.Request) -> httpx.Response:
        """Reopened 40 s after midnight."""
        asked.append(now[0])
        reset = "2999-01-01T00:00:00+00:00" if now[0] >= MIDNIGHT + 40 else "2020-01-01T00:00:00+00:00"
        window = {"budget_duration": "1d", "max_budget": 1, "reset_at": reset}
        return httpx.Response(200, json={"team_info": {"budget_limits": [window]}})

    with httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer)) as admin:
        clock.until_the_day_has_left(60, admin, "pauper")
        assert (min(asked), now[0]) == (MIDNIGHT, MIDNIGHT + 40)
        clock.until_the_day_has_left(60, admin, "pauper")
        assert now[0] == MIDNIGHT + 40, "nothing to wait for"
