"""Which moments are said to be reachable: no gap in the log is passed over, no base backup that lacks its own end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.backup import reach
from tollgate.stack.backup.base import broken, scheduled
from tollgate.stack.backup.restore_at import moment_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def name(number: int, timeline: int = 1) -> str:
    return f"{timeline:08X}{number // 256:08X}{number % 256:08X}"


def listing(*numbers: int, archive: str = "17-1") -> str:
    paths = {
        f"{archive}/{name(n)[:16]}/{name(n)}-{n:040x}.zst": {"type": "file", "size": 1, "time": 0} for n in numbers
    }
    return json.dumps({"archive.info": {}, f"{archive}": {}, f"{archive}/x/{name(2)}.00000028.backup": {}, **paths})


def backup(hour: int, first: int, last: int, *, number: int = 1, error: bool = False) -> dict[str, object]:
    ended = int((NOON + timedelta(hours=hour)).timestamp())
    return {
        "label": f"base-{hour}",
        "type": "full",
        "error": error,
        "database": {"id": number},
        "timestamp": {"start": ended - 2, "stop": ended},
        "archive": {"start": name(first), "stop": name(last)},
        "info": {"size": 1000},
    }


def info(*backups: dict[str, object]) -> str:
    return json.dumps([{"db": [{"id": 1, "version": "17"}, {"id": 2, "version": "17"}], "backup": list(backups)}])


def chains(backups: str, *archived: int) -> list[reach.Chain]:
    return reach.chains(reach.bases(backups), reach.files(listing(*archived)))


def test_two_base_backups_in_one_unbroken_log() -> None:
    found = chains(info(backup(1, 3, 3), backup(0, 2, 2)), 1, 2, 3, 4)
    assert [[base.label for base in chain.bases] for chain in found] == [["base-0", "base-1"]]
    assert found[0].files[-1][0] == name(4)
    one = reach.reach(found[0], NOON + timedelta(hours=2))
    assert one is not None
    assert str(one) == "2026-11-21 12:00:01 to 2026-11-21 14:00:00 UTC"
    picked = [one.base_for(NOON + timedelta(seconds=s)) for s in (0, 1, 3600, 3601, 7199, 7200)]
    assert [base and base.label for base in picked] == [None, "base-0", "base-0", "base-1", "base-1", None]


def test_numbers_carry_into_the_middle_of_the_name() -> None:
    assert chains(info(backup(0, 254, 254)), 254, 255, 256, 257)[0].files[-1][0] == "000000010000000100000001"


def test_a_gap_ends_the_reach_of_what_is_before_it() -> None:
    found = chains(info(backup(0, 2, 2), backup(5, 7, 7)), 2, 3, 5, 6, 7, 8)
    assert [(chain.bases[0].label, chain.files[-1][0]) for chain in found] == [("base-0", name(3)), ("base-5", name(8))]


@pytest.mark.parametrize("archived", [(2, 3), (3, 4, 5)], ids=["its end is missing", "its beginning is missing"])
def test_a_base_backup_without_all_of_its_own_log_is_of_no_use(archived: tuple[int, ...]) -> None:
    assert chains(info(backup(0, 2, 4)), *archived) == []


def test_one_with_damaged_pages_is_none_and_nothing_is_nothing() -> None:
    assert chains(info(backup(0, 2, 2, error=True)), 2, 3) == []
    assert chains("", 2, 3) == []


def test_the_log_of_another_cluster_is_another() -> None:
    assert chains(info(backup(0, 2, 2, number=2)), 2, 3) == []


def test_without_a_commit_after_the_backup_nothing_is_reachable() -> None:
    chain = chains(info(backup(0, 2, 2)), 2, 3)[0]
    assert reach.reach(chain, None) is None
    assert reach.reach(chain, NOON) is None


@pytest.mark.parametrize(
    "text, meant",
    [
        ("2026-11-21 10:00", "2026-11-21T10:00:00+00:00"),
        ("2026-11-21T10:00:30Z", "2026-11-21T10:00:30+00:00"),
        ("2026-11-21T10:00:00+01:00", "2026-11-21T09:00:00+00:00"),
        ("2026-11-21", "2026-11-21T00:00:00+00:00"),
    ],
)
def test_a_moment_is_in_utc_unless_it_says_otherwise(text: str, meant: str) -> None:
    assert moment_of(text).isoformat() == meant


@pytest.mark.parametrize("text", ["yesterday", "10:00", "2026-13-01 10:00", ""])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(TollgateError, match=r"expected a moment such as"):
        moment_of(text)


def test_a_base_backup_is_missing_after_a_gap_and_for_another_cluster() -> None:
    one = reach.bases(info(backup(0, 2, 2)))
    whole, gap, other = (reach.files(text) for text in (listing(1, 2, 3), listing(2, 3, 5), listing(2, archive="17-2")))
    assert not broken(one, whole)
    assert broken(one, gap)
    assert broken(one, {**whole, **other})
    assert broken(one, {})
    assert broken([], whole)


def test_the_schedule_takes_a_full_one_each_week_and_differences_between() -> None:
    one, archived = reach.bases(info(backup(0, 2, 2))), reach.files(listing(2, 3))
    assert scheduled(one, archived, NOON + timedelta(days=1)) == "diff"
    assert scheduled(one, archived, NOON + timedelta(days=8)) == "full"
    assert scheduled(one, reach.files(listing(2, 4)), NOON + timedelta(days=1)) == "full"
