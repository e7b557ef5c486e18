"""The words of `status` and `doctor` about backups."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tollgate.stack.backup.state import State, ago, words
from tollgate.stack.doctor.backups import judged

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOOD = State(
    "17 2 * * *",
    NOON + timedelta(hours=14, minutes=17),
    NOON - timedelta(hours=10),
    archived=NOON - timedelta(seconds=40),
    since=NOON - timedelta(days=3),
    bytes=34 << 20,
)


def but(**change: object) -> State:
    return State(**{**GOOD.__dict__, **change})  # type: ignore[arg-type]


def test_good_backups_pass() -> None:
    assert judged(GOOD, NOON).level == "PASS"
    assert words(GOOD, NOON) == (
        'at "17 2 * * *" (UTC), next 2026-11-22 02:17; last archive 10 h ago; any moment since 2026-11-18 12:00:00, '
        "WAL archived 40 s ago, 34.0 MiB kept"
    )


@pytest.mark.parametrize(
    "backups, level, message",
    [
        (but(failing=True), "FAIL", "THE WAL IS NOT ARCHIVED, last 40 s ago"),
        (but(failing=True, archived=None), "FAIL", "THE WAL IS NOT ARCHIVED, last never"),
        (but(last=NOON - timedelta(hours=37)), "WARN", "the last archive was taken 37 h ago"),
        (but(since=None), "WARN", "no base backup yet"),
        (State("", None, None), "WARN", "no schedule takes backups"),
        (State("", None, NOON - timedelta(days=3)), "WARN", "the last archive was taken 3 days ago"),
    ],
)
def test_each_problem_is_reported_with_a_hint(backups: State, level: str, message: str) -> None:
    assert judged(backups, NOON).level == level
    assert message in judged(backups, NOON).message
    assert judged(backups, NOON).hint


def test_an_age_is_in_the_largest_unit_that_gives_two() -> None:
    ages = [ago(NOON - timedelta(seconds=s), NOON) for s in (-5, 0, 119, 120, 7199, 7200, 172799, 172800)]
    assert ages == ["0 s ago", "0 s ago", "119 s ago", "2 min ago", "119 min ago", "2 h ago", "47 h ago", "2 days ago"]
