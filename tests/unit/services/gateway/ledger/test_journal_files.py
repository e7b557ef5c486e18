"""The files of a journal: when the next one begins, when one goes, and disks that do not write."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.gateway_ledger import TARGET, begun, outcome, request_id, used
from tests.unit.services.gateway.ledger.journals import SMALL, Clock, Make, answer, ship, written
from tollgate.services.gateway.ledger import lines, segment
from tollgate.services.gateway.ledger.journal import Journal, JournalUnwritableError
from tollgate.services.gateway.ledger.recover import recover
from tollgate.services.gateway.ledger.segment import Segment, segments


def test_a_full_file_is_followed_by_another_that_has_what_still_runs(make: Make, tmp_path: Path) -> None:
    journal = make(segment_bytes=SMALL)
    journal.begin(begun(1))
    journal.begin(begun(2))
    journal.progress(request_id(2), lambda: used(2), replace(TARGET, model="another"))
    number = 10
    while len(list(tmp_path.glob("*.journal"))) < 3:
        answer(journal, number)
        number += 1
    last = segments(tmp_path, journal._run)[-1]
    again = [dict(line.content or {}) for line in segment.lines(last, 0)][:3]
    assert [line["do"] for line in again] == ["begin", "begin", "note"]
    assert again[0]["begun"]["id"] == request_id(1) and again[2]["target"]["model"] == "another"
    assert ship(journal) == [request_id(one) for one in range(10, number)]


def test_a_file_goes_when_all_of_it_is_shipped_and_the_next_is_on_disk(make: Make, tmp_path: Path) -> None:
    journal = make(segment_bytes=SMALL)
    journal.begin(begun(1))
    answer(journal, *range(10, 90))
    before = len(list(tmp_path.glob("*.journal")))
    assert before > 2
    ship(journal)
    assert len(list(tmp_path.glob("*.journal"))) == before  # the disk may not have the newest yet
    journal._syncer.sync()
    ship(journal)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    assert request_id(1) in str(written(tmp_path))


def test_a_file_with_a_call_that_waits_stays(make: Make, tmp_path: Path) -> None:
    journal = make(segment_bytes=SMALL)
    answer(journal, *range(1, 40))
    journal._syncer.sync()
    first = segments(tmp_path, journal._run)[0]
    batch = journal.take(3)
    journal.done(batch)
    journal._syncer.sync()
    assert first.exists()
    ship(journal)
    assert not first.exists()


def test_more_running_calls_than_a_file_has_room_for_are_refused(make: Make) -> None:
    journal = make(segment_bytes=SMALL)
    let_in = 0
    with pytest.raises(JournalUnwritableError, match="running calls leave no room"):
        for number in range(1, 100):
            journal.begin(begun(number))
            let_in += 1
    assert 4 <= let_in == journal.running < 10
    for number in range(1, let_in + 1):
        journal.end(request_id(number), outcome(number))
    assert journal.unwritten == 0 and len(ship(journal)) == let_in


def test_a_note_that_has_no_room_is_skipped(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    journal = make(segment_bytes=SMALL, clock=clock)
    journal.begin(begun(1))

    def fallocate(fd: int, offset: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", fallocate)
    for _ in range(400):
        clock.seconds += 5.0
        journal.progress(request_id(1), lambda: used(1))
    assert 0 < journal.skipped_notes < 400
    journal.end(request_id(1), outcome(1))
    assert journal.unwritten == 0  # the room for its end was kept


def test_a_clean_end_leaves_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "gateway-1")
    answer(journal, 1)
    ship(journal)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_an_end_with_calls_that_wait_leaves_them(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "gateway-1")
    answer(journal, 1)
    journal.close()
    (left,) = recover(tmp_path)
    assert [call.begun.id for call in left.take(10).calls] == [request_id(1)]


def test_the_thread_syncs_by_itself(make: Make) -> None:
    journal = make(sync_every=0.01)
    answer(journal, 1)
    found = journal._segment
    assert found is not None
    eventually(lambda: found.synced == found.end, within=30)


# ---- disks that do not write


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether a write fails after its first half, and a new file cannot be made."""
    real, allocate = os.pwrite, os.posix_fallocate
    state = {"broken": False}

    def pwrite(fd: int, data: bytes, offset: int) -> int:
        if state["broken"] and len(data) < 2:
            raise OSError(28, "No space left on device")
        return real(fd, data[: len(data) // 2] if state["broken"] else data, offset)

    def fallocate(fd: int, offset: int, size: int) -> None:
        if state["broken"]:
            raise OSError(28, "No space left on device")
        allocate(fd, offset, size)

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "posix_fallocate", fallocate)

    def switch(broken: bool) -> None:
        state["broken"] = broken

    return switch


def test_a_broken_disk_keeps_an_end_in_memory_and_lets_nobody_in(
    make: Make, tmp_path: Path, broken: Callable[[bool], None]
) -> None:
    journal = make()
    journal.begin(begun(1))
    broken(True)
    call = journal.end(request_id(1), outcome(1))
    assert (journal.unwritten, journal.waiting_calls) == (1, 1) and not journal.take(10)
    for _ in range(2):
        with pytest.raises(JournalUnwritableError, match="No space left"):
            journal.begin(begun(2))
    broken(False)
    journal.begin(begun(2))
    assert journal.unwritten == 0 and journal.take(10).calls == [call]
    assert [one["do"] for one in written(tmp_path) if one] == ["begin", "end", "begin"]


def test_a_begin_that_a_broken_disk_does_not_take_leaves_nothing(
    make: Make, tmp_path: Path, broken: Callable[[bool], None]
) -> None:
    journal = make()
    answer(journal, 1)
    broken(True)
    with pytest.raises(JournalUnwritableError):
        journal.begin(begun(2))
    broken(False)
    answer(journal, 3)
    assert ship(journal) == [request_id(1), request_id(3)] and journal.running == 0
    assert [one["do"] for one in written(tmp_path) if one].count("begin") == 2


def test_a_new_file_that_cannot_take_what_runs_refuses(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make(segment_bytes=SMALL)
    journal.begin(begun(1))

    def append(self: Segment, data: bytes) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Segment, "append", append)
        journal._segment.lost = True  # type: ignore[union-attr]
        with pytest.raises(JournalUnwritableError, match="Input/output"):
            journal.begin(begun(2))
    journal.begin(begun(2))
    journal.end(request_id(1), outcome(1))
    assert ship(journal) == [request_id(1)]


def test_a_disk_that_does_not_sync_gets_another_file(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = make()
    answer(journal, 1)

    def fdatasync(fd: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fdatasync)
        journal._syncer.sync()
    assert journal.sync_failures == 1
    answer(journal, 2)
    assert len(segments(tmp_path, journal._run)) == 2 and ship(journal) == [request_id(1), request_id(2)]


def test_a_lock_that_another_looks_at_is_left_for_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = segment.RunLock.take
    answers = iter([False, True])
    monkeypatch.setattr(segment.RunLock, "take", lambda self: next(answers) and real(self))
    journal = Journal(tmp_path, "gateway-1")
    answer(journal, 1)
    assert len(list(tmp_path.glob("*.journal"))) == 1
    journal.close()


def test_no_line_has_a_prompt_or_a_key(make: Make, tmp_path: Path) -> None:
    journal = make()
    answer(journal, 1)
    text = next(tmp_path.glob("*.journal")).read_bytes().rstrip(b"\0").decode()
    assert "sk-" not in text and 'messages"' not in text.replace('anthropic_messages"', "")
    assert all(lines.decode(line.encode()) for line in text.splitlines())
