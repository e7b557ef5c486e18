"""The calls that a killed process left, read by the next one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.gateway_ledger import STARTED, TARGET, begun, outcome, request_id, used
from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.lines import encode
from tollgate.services.gateway.ledger.recover import DeadRun, recover
from tollgate.services.gateway.ledger.segment import RunLock, segments
from tollgate.services.gateway.ledger.usage import Estimate


def left_by(directory: Path, process: str = "gateway-1", **options: int) -> Journal:
    return Journal(directory, process, sync_every=3600.0, now=lambda: STARTED + 5000, **options)  # type: ignore[arg-type]


def kill(journal: Journal) -> None:
    """The kernel lets go of its lock, and nothing else happens."""
    journal._syncer.stop()
    journal._lock.release()


def shipped(left: DeadRun, most: int = 3) -> list[Call]:
    found: list[Call] = []
    while not left.finished:
        batch = left.take(most)
        found += batch.calls
        left.done(batch)
    return found


def test_ended_calls_and_interrupted_ones(tmp_path: Path) -> None:
    journal = left_by(tmp_path)
    ended = []
    for number in range(1, 8):
        journal.begin(begun(number))
        ended.append(journal.end(request_id(number), outcome(number)))
    journal.begin(begun(8))
    journal.begin(begun(9))
    moved = replace(TARGET, model="another")
    journal.progress(request_id(9), lambda: used(9), moved)
    kill(journal)
    (left,) = recover(tmp_path)
    assert (left.waiting_calls, left.torn) == (9, 0) and left.waiting_bytes > 0
    found = shipped(left)
    interrupted = [
        Call.interrupted(begun(8), Estimate(400).usage(), STARTED),
        Call.interrupted(replace(begun(9), target=moved), used(9), STARTED + 5000),
    ]
    assert found == [*ended, *interrupted] and left.waiting_calls == 0
    assert list(tmp_path.iterdir()) == []


def test_a_call_that_was_handed_over_is_not_booked_here(tmp_path: Path) -> None:
    journal = left_by(tmp_path)
    journal.begin(begun(1))
    journal.hand_over(request_id(1))
    assert (journal.running, journal.waiting_calls, journal._reserved) == (0, 0, 0) and not journal.take(10)
    kill(journal)
    (left,) = recover(tmp_path)
    assert shipped(left) == []


def test_a_living_process_keeps_its_files(tmp_path: Path) -> None:
    journal = left_by(tmp_path)
    journal.begin(begun(1))
    assert recover(tmp_path) == []
    kill(journal)
    (left,) = recover(tmp_path)
    assert recover(tmp_path) == []  # this one holds it now
    assert len(shipped(left)) == 1


def test_runs_of_every_name_are_found(tmp_path: Path) -> None:
    for number, name in enumerate(("gateway-2", "gateway-1", "gateway-1"), start=1):
        journal = left_by(tmp_path, name)
        journal.begin(begun(number))
        kill(journal)
    (tmp_path / "set-aside.jsonl").write_text("not a run")
    found = recover(tmp_path)
    assert sorted(left.run.rsplit("-", 1)[0] for left in found) == ["gateway-1", "gateway-1", "gateway-2"]
    assert sorted(call.begun.id for left in found for call in shipped(left)) == [request_id(one) for one in (1, 2, 3)]


def test_an_unreadable_run_is_tried_again_and_delays_no_other(tmp_path: Path) -> None:
    for number, name in enumerate(("gateway-1", "gateway-2", "gateway-3"), start=1):
        journal = left_by(tmp_path, name)
        journal.begin(begun(number))
        kill(journal)
    (broken,) = tmp_path.glob("gateway-2-*.journal")
    broken.rename(tmp_path / "kept")
    broken.symlink_to("nowhere")
    readable = recover(tmp_path)
    assert [left.run.rsplit("-", 1)[0] for left in readable] == ["gateway-1", "gateway-3"]
    (tmp_path / "kept").replace(broken)
    (left,) = recover(tmp_path)
    assert [call.begun.id for call in shipped(left)] == [request_id(2)]


def test_a_lock_without_files_goes(tmp_path: Path) -> None:
    kill(left_by(tmp_path))
    (left,) = recover(tmp_path)
    assert shipped(left) == [] and list(tmp_path.iterdir()) == []


def test_a_lock_that_was_removed_meanwhile_is_nobodys(tmp_path: Path) -> None:
    first, second = RunLock(tmp_path, "gateway-1-a"), RunLock(tmp_path, "gateway-1-a")
    assert first.take() and not second.take()
    first.release(remove=True)
    assert not second.take()
    second.release()


def test_calls_that_ran_over_the_end_of_a_file_are_counted_once(tmp_path: Path) -> None:
    journal = left_by(tmp_path, segment_bytes=32_768)
    journal.begin(begun(1))
    journal.begin(begun(2))
    for number in range(10, 60):
        journal.begin(begun(number))
        journal.end(request_id(number), outcome(number))
    journal.end(request_id(2), outcome(2))
    kill(journal)
    assert len(segments(tmp_path, journal._run)) > 2
    (left,) = recover(tmp_path)
    assert left.waiting_calls == 52
    found = shipped(left, most=7)
    assert [call.begun.id for call in found] == [request_id(one) for one in (*range(10, 60), 2, 1)]
    assert [call.failed for call in found[-2:]] == [False, True]


@pytest.mark.parametrize("cut", [1, 10, 200])
def test_a_line_that_was_cut_off_was_never_answered(tmp_path: Path, cut: int) -> None:
    journal = left_by(tmp_path)
    journal.begin(begun(1))
    journal.end(request_id(1), outcome(1))
    journal.begin(begun(2))
    journal.end(request_id(2), outcome(2))
    kill(journal)
    (path,) = segments(tmp_path, journal._run)
    data = path.read_bytes()
    end = len(data.rstrip(b"\0"))
    path.write_bytes(data[: end - cut] + b"\0" * (len(data) - end + cut))
    (left,) = recover(tmp_path)
    assert left.torn == 1
    assert [call.failed for call in shipped(left)] == [False, True]


def test_a_block_that_the_disk_lost_costs_its_lines_only(tmp_path: Path) -> None:
    journal = left_by(tmp_path)
    for number in range(1, 21):
        journal.begin(begun(number))
        journal.end(request_id(number), outcome(number))
    kill(journal)
    (path,) = segments(tmp_path, journal._run)
    data = bytearray(path.read_bytes())
    data[4096:8192] = bytes(4096)
    path.write_bytes(data)
    (left,) = recover(tmp_path)
    found = shipped(left)
    assert (
        left.torn > 0
        and 10 <= len(found) < 20
        and {call.begun.id for call in found} < {request_id(number) for number in range(1, 21)}
    )


def test_lines_that_nobody_understands_are_handed_over(tmp_path: Path) -> None:
    journal = left_by(tmp_path)
    journal.begin(begun(1))
    odd = [
        {"do": "end", "call": {"begun": 5}},
        {"do": "begin", "begun": {"id": "x"}},
        {"do": "note", "id": request_id(1), "usage": "many", "target": {"model": "m", "provider": "p"}},
        {"do": "dance"},
        {"nothing": 1},
    ]
    for line in odd:
        journal._write(encode(line))
    kill(journal)
    (left,) = recover(tmp_path)
    assert left.waiting_calls == 5
    handed: list[bytes] = []
    calls: list[Call] = []
    while not left.finished:
        batch = left.take(2)
        handed += batch.unreadable
        calls += batch.calls
        left.done(batch)
    assert sorted(handed) == sorted(encode(odd[number])[:-1] for number in (0, 1, 2, 4))
    assert [call.begun.id for call in calls] == [request_id(1)] and left.waiting_calls == 0
