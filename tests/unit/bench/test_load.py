"""The bench's own measures: a gap counts only if the upstream did not make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import load, upstream

SECOND = 1_000_000_000


def gap(monkeypatch: pytest.MonkeyPatch, *pieces: tuple[float, float]) -> float:
    """The gap of a stream whose pieces were sent and came at these seconds; several of one moment come together."""
    answer = load._Answer(gaps=True)
    for came in dict.fromkeys(came for _, came in pieces):
        monkeypatch.setattr(load.time, "monotonic_ns", lambda came=came: int(came * SECOND))
        sent = (int(sent * SECOND) for sent, arrived in pieces if arrived == came)
        answer.on_body(b"".join(b'data: {"text":"<%020d>"}\n\n' % moment for moment in sent))
    return answer.gap


def test_a_gap_that_the_upstream_did_not_make_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gap(monkeypatch, (1, 1.01), (1.05, 1.06), (1.10, 1.36), (1.15, 1.37)) == pytest.approx(250)


def test_twin_a_gap_that_the_upstream_made_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gap(monkeypatch, (1, 1.01), (1.05, 1.06), (1.35, 1.36), (1.40, 1.41)) == pytest.approx(0)


def test_pieces_that_come_together_waited_since_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gap(monkeypatch, (1, 1), (1.05, 1.30), (1.10, 1.30), (1.15, 1.30), (1.20, 1.31)) == pytest.approx(250)


@pytest.mark.parametrize("events", [upstream.chat_events, upstream.messages_events])
def test_the_upstream_says_when_it_sent_each_piece(events: object) -> None:
    assert callable(events)
    told = [moment for event in events(3) for moment in load.SENT_AT.findall(event)]
    assert len(told) == 3 and told == sorted(told)


def test_the_program_of_the_upstream_needs_nothing_of_the_kit() -> None:
    """It is mounted alone into a container."""
    assert (
        "tollgate" not in Path(upstream.__file__).read_text()
        and "from tests" not in Path(upstream.__file__).read_text()
    )
