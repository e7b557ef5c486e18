"""The journal of a living process: what is on disk, and when."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.gateway_ledger import TARGET, begun, outcome, request_id
from tests.unit.services.gateway.ledger.journals import Clock, Make, answer, ship, written
from tollgate.services.gateway.ledger import journal as module
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.usage import Usage


def test_a_call_is_on_disk_when_it_was_let_in_and_when_it_ended(make: Make, tmp_path: Path) -> None:
    journal = make()
    journal.begin(begun(1))
    assert [line["do"] for line in written(tmp_path)] == ["begin"] and journal.running == 1
    call = journal.end(request_id(1), outcome(1))
    assert [line["do"] for line in written(tmp_path)] == ["begin", "end"] and journal.running == 0
    assert call.cost == 275_500 and journal.waiting_calls == 1 and journal.waiting_bytes > 0
    assert journal.take(10).calls == [call]


def test_nothing_is_lost_by_reading_and_nothing_comes_again_after_done(make: Make) -> None:
    journal = make()
    answer(journal, *range(1, 26))
    assert journal.take(10).calls == journal.take(10).calls
    assert ship(journal) == [request_id(number) for number in range(1, 26)]
    assert (journal.waiting_calls, journal.waiting_bytes) == (0, 0)
    answer(journal, 26)
    assert ship(journal) == [request_id(26)]


def test_progress_is_noted_every_five_seconds_or_for_a_new_target(make: Make, tmp_path: Path) -> None:
    clock = Clock()
    journal = make(clock=clock, now=lambda: 77)
    journal.begin(begun(1))
    counted = []

    def usage() -> Usage:
        counted.append(1)
        return Usage(5, len(counted))

    for second in range(12):
        clock.seconds = 1000.0 + second
        journal.progress(request_id(1), usage, begun(1).target)
    notes = [line for line in written(tmp_path) if line["do"] == "note"]
    assert [(line["usage"][:2], line["at"]) for line in notes] == [([5, 1], 77), ([5, 2], 77)] and len(counted) == 2
    journal.progress(request_id(1), usage, replace(TARGET, model="another"))
    assert written(tmp_path)[-1]["target"]["model"] == "another"
    assert journal.end(request_id(1), outcome(1)).begun.target.model == "another"


def test_the_target_that_answered_is_the_one_that_is_priced(make: Make) -> None:
    journal = make()
    journal.begin(begun(1))
    free = replace(TARGET, prices=module.Target("m", "p").prices)
    assert journal.end(request_id(1), outcome(1), free).cost == 0


def test_a_refusal_needs_no_begin(make: Make) -> None:
    journal = make()
    call = journal.book(begun(1), outcome(1, status=429, error="RateLimited", usage=Usage()))
    assert call.failed and call.cost == 0 and journal.take(1).calls == [call] and journal.running == 0


@pytest.mark.parametrize("wrong", [{"id": "x"}, {"key": "sk-secret"}])
def test_what_cannot_be_booked_is_not_let_in(make: Make, tmp_path: Path, wrong: dict[str, str]) -> None:
    journal = make()
    for enter in (journal.begin, lambda one: journal.book(one, outcome())):
        with pytest.raises(ValueError, match="expected"):
            enter(replace(begun(1), **wrong))
    assert written(tmp_path) == []


def test_an_id_is_used_once_at_a_time(make: Make) -> None:
    journal = make()
    journal.begin(begun(1))
    with pytest.raises(ValueError, match="running"):
        journal.begin(begun(1))
    journal.end(request_id(1), outcome(1))
    with pytest.raises(KeyError):
        journal.end(request_id(1), outcome(1))


@pytest.mark.parametrize("name", ["", "Gateway", "a/b", "..", "a.b", "-a", "a" * 65])
def test_a_process_name_is_a_file_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="process name"):
        Journal(tmp_path, name)
