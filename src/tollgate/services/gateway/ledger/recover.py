"""The calls that killed processes left in the volume: ended ones that may not be shipped yet, and unfinished ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tollgate.services.gateway.ledger import calls
from tollgate.services.gateway.ledger.calls import Begun, Call
from tollgate.services.gateway.ledger.reader import UNREADABLE, Batch, Reader
from tollgate.services.gateway.ledger.segment import RunLock, lines, runs, segments
from tollgate.services.gateway.ledger.usage import Usage

log = logging.getLogger("tollgate.gateway.ledger")


@dataclass
class _Open:
    """A call that was let in and has not ended in the lines read so far."""

    begun: Begun
    usage: Usage
    at: int


class DeadRun:
    """The files of a run whose process is gone. Its lock is held until they are shipped and removed.

    `torn` counts lines that were cut off. A call whose end is cut off is interrupted, because nothing answered it.
    """

    def __init__(self, directory: Path, run: str, lock: RunLock) -> None:
        self.run, self._lock = run, lock
        self._extents = {path: path.stat().st_size for path in segments(directory, run)}
        self._reader = Reader(self._extents)
        self._open: dict[str, _Open] = {}
        self._unreadable: list[bytes] = []
        self.torn = 0
        self._ended = 0
        self.finished = False
        for path, size in self._extents.items():
            for line in lines(path, 0, size):
                self._see(line.content, line.raw)

    def _see(self, content: Mapping[str, Any] | None, raw: bytes) -> None:
        if content is None:
            self.torn += 1
            return
        try:
            self._follow(content)
        except UNREADABLE:
            if content.get("do") != "end":  # the reader reports those
                self._unreadable.append(raw)

    def _follow(self, content: Mapping[str, Any]) -> None:
        if content["do"] == "begin":
            begun = calls.begun(content["begun"])
            self._open[begun.id] = _Open(begun, begun.estimate, begun.started)
        elif content["do"] == "note" and content["id"] in self._open:
            unfinished = self._open[content["id"]]
            unfinished.begun = replace(unfinished.begun, target=calls.target(content["target"]))
            unfinished.usage = Usage.from_plain(content["usage"], content.get("tools", ()))
            unfinished.at = content["at"]
        elif content["do"] == "handed over":
            self._open.pop(content["id"], None)
        elif content["do"] == "end":
            self._ended += 1
            self._open.pop(content["call"]["begun"]["id"], None)

    @property
    def interrupted(self) -> list[Call]:
        return [Call.interrupted(call.begun, call.usage, call.at) for call in self._open.values()]

    @property
    def waiting_calls(self) -> int:
        return self._ended + len(self._open) + len(self._unreadable)

    @property
    def waiting_bytes(self) -> int:
        return self._reader.waiting_bytes

    def take(self, most: int) -> Batch:
        """First the calls that ended, then all that did not."""
        batch = self._reader.take(most)
        if not batch:
            batch.calls = self.interrupted[:most]
            batch.unreadable = self._unreadable[:most]
        return batch

    def done(self, batch: Batch) -> None:
        self._reader.done(batch)
        rest = [call.begun.id for call in batch.calls if call.begun.id in self._open]
        for request_id in rest:
            del self._open[request_id]
        unreadable = [raw for raw in batch.unreadable if raw in self._unreadable]
        self._unreadable = [raw for raw in self._unreadable if raw not in unreadable]
        self._ended -= len(batch.calls) + len(batch.unreadable) - len(rest) - len(unreadable)
        if not batch:
            self._remove()

    def _remove(self) -> None:
        for path in self._extents:
            path.unlink(missing_ok=True)
        self._lock.release(remove=True)
        self.finished = True


def recover(directory: Path) -> list[DeadRun]:
    """Every run in the volume that no living process holds, of this process's name or of another.

    A run whose files cannot be read now is left for the next look, and keeps no other run waiting.
    """
    return [left for run in runs(directory) if (left := _take_over(directory, run))]


def _take_over(directory: Path, run: str) -> DeadRun | None:
    lock = RunLock(directory, run)
    if not lock.take():
        lock.release()
        return None
    try:
        return DeadRun(directory, run, lock)
    except OSError as error:
        # Held any longer, the lock would keep every process from it for as long as this one lives.
        lock.release()
        log.warning("what a killed process left cannot be read: %s: %s", run, error.strerror)
        return None
