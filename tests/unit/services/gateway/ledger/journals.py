"""Helpers for tests of the journal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.gateway_ledger import begun, outcome, request_id
from tollgate.services.gateway.ledger import segment
from tollgate.services.gateway.ledger.journal import Journal

SMALL = 32_768
Make = Callable[..., Journal]


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def written(directory: Path) -> list[dict[str, Any]]:
    """The lines of all files, in order."""
    return [dict(line.content or {}) for path in sorted(directory.glob("*.journal")) for line in segment.lines(path, 0)]


def answer(journal: Journal, *numbers: int) -> None:
    for number in numbers:
        journal.begin(begun(number))
        journal.end(request_id(number), outcome(number))


def ship(journal: Journal) -> list[str]:
    """As the shipper does it; the ids."""
    found = []
    while batch := journal.take(10):
        found += [call.begun.id for call in batch.calls]
        journal.done(batch)
    journal.done(journal.take(10))
    return found
