"""Which moments are offered for a restore: none after a gap in the WAL, none from an incomplete base backup."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tollgate.errors import TollgateError
from tollgate.stack.backup import reach
from tollgate.stack.backup.base import broken, scheduled
from tollgate.stack.restore.moment import moment_of

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


def test_unbroken_wal_connects_two_base_backups() -> None:
    [chain] = chains(info(backup(1, 3, 3), backup(0, 2, 2)), 1, 2, 3, 4)
    assert [base.label for base in chain.bases] == ["base-0", "base-1"]
    assert chain.files[-1][0] == name(4)
    moments = reach.reach(chain, NOON + timedelta(hours=2))
    assert moments is not None
    assert str(moments) == "2026-11-21 12:00:01 to 2026-11-21 14:00:00 UTC"
    picked = [moments.base_for(NOON + timedelta(seconds=s)) for s in (0, 1, 3600, 3601, 7199, 7200)]
    assert [base and base.label for base in picked] == [None, "base-0", "base-0", "base-1", "base-1", None]


def test_numbers_carry_into_the_middle_of_the_name() -> None:
    assert chains(info(backup(0, 254, 254)), 254, 255, 256, 257)[0].files[-1][0] == "000000010000000100000001"


def test_a_gap_in_the_wal_ends_a_chain() -> None:
    both = chains(info(backup(0, 2, 2), backup(5, 7, 7)), 2, 3, 5, 6, 7, 8)
    assert [(chain.bases[0].label, chain.files[-1][0]) for chain in both] == [("base-0", name(3)), ("base-5", name(8))]


@pytest.mark.parametrize("archived", [(2, 3), (3, 4, 5)], ids=["its end is missing", "its beginning is missing"])
def test_a_base_backup_without_all_of_its_own_wal_is_ignored(archived: tuple[int, ...]) -> None:
    assert chains(info(backup(0, 2, 4)), *archived) == []


def test_a_base_backup_with_damaged_pages_is_ignored() -> None:
    assert chains(info(backup(0, 2, 2, error=True)), 2, 3) == []
    assert chains("", 2, 3) == []


def test_wal_of_another_cluster_is_ignored() -> None:
    assert chains(info(backup(0, 2, 2, number=2)), 2, 3) == []


def test_without_a_commit_after_the_backup_no_moment_is_offered() -> None:
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
def test_text_that_is_not_a_moment_is_refused(text: str) -> None:
    with pytest.raises(TollgateError, match=r"expected a moment such as"):
        moment_of(text)


def test_a_gap_or_another_cluster_needs_a_new_base_backup() -> None:
    bases = reach.bases(info(backup(0, 2, 2)))
    whole, gap, other = (reach.files(text) for text in (listing(1, 2, 3), listing(2, 3, 5), listing(2, archive="17-2")))
    assert not broken(bases, whole)
    assert broken(bases, gap)
    assert broken(bases, {**whole, **other})
    assert broken(bases, {})
    assert broken([], whole)


def test_the_schedule_takes_a_full_backup_each_week() -> None:
    bases, archived = reach.bases(info(backup(0, 2, 2))), reach.files(listing(2, 3))
    assert scheduled(bases, archived, NOON + timedelta(days=1)) == "diff"
    assert scheduled(bases, archived, NOON + timedelta(days=8)) == "full"
    assert scheduled(bases, reach.files(listing(2, 4)), NOON + timedelta(days=1)) == "full"
