"""Reads ended calls from the files of one run, from where the last shipped batch ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.calls import Call
from tollgate.services.gateway.ledger.lines import Line
from tollgate.services.gateway.ledger.segment import lines

# A line that is whole and cannot be understood: of another version, or written by another program.
UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)


@dataclass
class Batch:
    """Calls to book, lines that nobody can read, and the place behind them."""

    calls: list[Call] = field(default_factory=list)
    unreadable: list[bytes] = field(default_factory=list)
    path: Path | None = None
    offset: int = 0

    def __bool__(self) -> bool:
        return bool(self.calls or self.unreadable)


class Source(Protocol):
    """Calls that can be shipped: the journal of this process, or a run that a killed process left."""

    @property
    def waiting_calls(self) -> int: ...

    @property
    def waiting_bytes(self) -> int: ...

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more."""
        ...

    def take(self, most: int) -> Batch:
        """The oldest calls that wait. The same ones again until `done`."""
        ...

    def done(self, batch: Batch) -> None:
        """Everything in this batch is in Postgres, or set aside."""
        ...


class Reader:
    """`extents` has each file with its length so far, the oldest first. It may grow meanwhile."""

    def __init__(self, extents: Mapping[Path, int]) -> None:
        self._extents = extents
        self._path: Path | None = None
        self._offset = 0

    def take(self, most: int) -> Batch:
        batch = Batch(path=self._path, offset=self._offset)
        for path, start in list(self._ahead()):
            batch.path, batch.offset = path, start
            for line in lines(path, start, self._extents[path]):
                _add(batch, line)
                batch.offset = line.end
                if len(batch.calls) + len(batch.unreadable) >= most:
                    return batch
            batch.offset = self._extents[path]
        return batch

    def done(self, batch: Batch) -> None:
        self._path, self._offset = batch.path, batch.offset

    @property
    def waiting_bytes(self) -> int:
        return sum(max(0, self._extents[path] - start) for path, start in self._ahead())

    def passed(self) -> list[Path]:
        """The files that are read to their end and are not the one that is read now."""
        ahead = {path for path, _ in self._ahead()}
        return [path for path in self._extents if path not in ahead]

    def _ahead(self) -> Iterator[tuple[Path, int]]:
        reached = self._path not in self._extents
        for path in self._extents:
            if path == self._path:
                reached = True
                yield path, self._offset
            elif reached:
                yield path, 0


def _add(batch: Batch, line: Line) -> None:
    if line.content is None or line.content.get("do") != "end":
        return
    try:
        batch.calls.append(calls.call(line.content["call"]))
    except UNREADABLE:
        batch.unreadable.append(line.raw)
