"""The calls that this process let in and answered, on disk before the client has the last byte.

`begin` refuses when the disk has no room, for its own line and for the line of the end: the room for both is reserved.
So a call that was let in can always be ended. When a file is full, calls that still run are noted again in the next
one. So a file can go as soon as all that ended in it is in Postgres.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tollgate.services.gateway.ledger.calls import Begun, Call, Outcome, Target, plain_begun, plain_call, plain_target
from tollgate.services.gateway.ledger.lines import encode
from tollgate.services.gateway.ledger.reader import Batch, Reader
from tollgate.services.gateway.ledger.segment import NAME, RunLock, Segment, segment_path
from tollgate.services.gateway.ledger.syncer import Syncer
from tollgate.services.gateway.ledger.usage import Usage

SEGMENT_BYTES = 16 * 1024 * 1024
NOTE_EVERY_S = 5.0
SYNC_EVERY_S = 0.1
# The longest line of an end has what its begin has, another target, and the figures.
END_ROOM = 4096


class JournalUnwritableError(Exception):
    """The disk has no room, or does not take what is written. New requests must be refused."""


@dataclass(slots=True)
class _Running:
    begun: Begun
    content: dict[str, Any]
    line: bytes
    noted_at: float
    note: bytes = b""

    def move(self, target: Target) -> bool:
        """Whether it is another target than before."""
        if target is self.begun.target or target == self.begun.target:
            return False
        self.begun = replace(self.begun, target=target)
        self.content["target"] = plain_target(target)
        return True

    @property
    def room(self) -> int:
        return len(self.line) + END_ROOM


def _now() -> int:
    return time.time_ns() // 1_000_000


class Journal:
    """One run of one process. Used by one thread; the disk is synced by another.

    For metrics: `running`, `waiting_calls`, `waiting_bytes`, `unwritten`, `skipped_notes`, `sync_failures`.
    """

    finished = False

    def __init__(
        self,
        directory: Path,
        process: str,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        note_every: float = NOTE_EVERY_S,
        sync_every: float = SYNC_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], int] = _now,
    ) -> None:
        if not NAME.fullmatch(process):
            raise ValueError("expected a process name of small letters, digits and hyphens")
        self._directory, self._segment_bytes, self._note_every = directory, segment_bytes, note_every
        self._clock, self._now = clock, now
        self._run, self._lock = _own_run(directory, process)
        self._running: dict[str, _Running] = {}
        self._reserved = 0
        self._unwritten: list[bytes] = []
        self._extents: dict[Path, int] = {}
        self._reader = Reader(self._extents)
        self._segment: Segment | None = None
        self._number = 0
        self._syncer = Syncer(sync_every)
        self.waiting_calls = 0
        self.skipped_notes = 0

    # ---- what a request does

    def begin(self, begun: Begun) -> None:
        """Let a call in. JournalUnwritableError: refuse it, nothing of it is written."""
        begun.check()
        if begun.id in self._running:
            raise ValueError("a call of this id is running")
        self.retry()
        content = plain_begun(begun)
        running = _Running(begun, content, encode({"do": "begin", "begun": content}), self._clock())
        self._write(running.line, running.room)
        self._running[begun.id] = running
        self._reserved += running.room

    def progress(self, request_id: str, usage: Callable[[], Usage], target: Target | None = None) -> None:
        """Note what was used so far. Call it with every chunk: it writes every five seconds, or for a new target."""
        running = self._running[request_id]
        moved = target is not None and running.move(target)
        if not moved and self._clock() - running.noted_at < self._note_every:
            return
        running.noted_at = self._clock()
        so_far = usage()
        note = {"do": "note", "id": request_id, "at": self._now(), "usage": so_far.plain()}
        tools = {"tools": so_far.plain_tools()} if so_far.tools else {}
        running.note = encode({**note, **tools, "target": running.content["target"]})
        try:
            self._write(running.note)
        except JournalUnwritableError:
            self.skipped_notes += 1

    def end(self, request_id: str, outcome: Outcome, target: Target | None = None) -> Call:
        """Write the end, and say what it cost. Call it before the last byte is sent.

        It does not fail for a full disk. A disk that breaks meanwhile leaves the line in memory: it is written as
        soon as the disk takes it, and no request is let in before.
        """
        running = self._running.pop(request_id)
        self._reserved -= running.room
        if target is not None:
            running.move(target)
        return self._ended(Call.of(running.begun, outcome), running.content)

    def hand_over(self, request_id: str) -> None:
        """LiteLLM answers this call and books it. Here it is not booked, and no process books it after a crash."""
        self._reserved -= self._running.pop(request_id).room
        self._put({"do": "handed over", "id": request_id})

    def book(self, begun: Begun, outcome: Outcome) -> Call:
        """A call that ended at once, such as a refusal. It needs no begin."""
        begun.check()
        return self._ended(Call.of(begun, outcome), plain_begun(begun))

    def _ended(self, call: Call, begun: dict[str, Any]) -> Call:
        self.waiting_calls += 1
        self._put({"do": "end", "call": plain_call(call, begun)})
        return call

    def _put(self, content: dict[str, Any]) -> None:
        self._unwritten.append(encode(content))
        with suppress(JournalUnwritableError):
            self.retry()

    def retry(self) -> None:
        """Write the lines that the disk did not take before."""
        while self._unwritten:
            self._write(self._unwritten[0])
            del self._unwritten[0]

    # ---- files

    def _write(self, line: bytes, room: int = 0) -> None:
        segment = self._segment
        if segment is None or segment.lost or segment.left < len(line) + self._reserved + room:
            segment = self._next_segment(len(line) + self._reserved + room)
        try:
            segment.append(line)
        except OSError as error:
            segment.lost = True
            raise JournalUnwritableError(f"the journal cannot be written: {error.strerror}") from error
        self._extents[segment.path] = segment.end

    def _next_segment(self, room: int) -> Segment:
        carried = b"".join(running.line + running.note for running in self._running.values())
        if len(carried) + room > self._segment_bytes:
            raise JournalUnwritableError(f"{len(self._running)} running calls leave no room in a file of the journal")
        try:
            segment = Segment(segment_path(self._directory, self._run, self._number + 1), self._segment_bytes)
        except OSError as error:
            raise JournalUnwritableError(f"the journal has no room: {error.strerror}") from error
        self._number += 1
        self._syncer.add(segment)
        if self._segment is not None:
            self._syncer.finish(self._segment)
        self._segment = segment
        try:
            segment.append(carried)
        except OSError as error:
            segment.lost = True
            raise JournalUnwritableError(f"the journal cannot be written: {error.strerror}") from error
        self._extents[segment.path] = segment.end
        return segment

    def close(self) -> None:
        """Sync everything and let go. Calls that still run are booked as interrupted by the next process."""
        self._syncer.stop()
        empty = not self._running and not self.waiting_calls
        for path in list(self._extents) if empty else ():
            path.unlink(missing_ok=True)
        self._lock.release(remove=empty)

    # ---- shipping

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def unwritten(self) -> int:
        return len(self._unwritten)

    @property
    def sync_failures(self) -> int:
        return self._syncer.failures

    @property
    def waiting_bytes(self) -> int:
        return self._reader.waiting_bytes

    def take(self, most: int) -> Batch:
        return self._reader.take(most)

    def done(self, batch: Batch) -> None:
        """Files whose calls are all shipped go, once the disk has what was noted again from them."""
        self._reader.done(batch)
        self.waiting_calls -= len(batch.calls) + len(batch.unreadable)
        if self._segment is not None and self._segment.synced >= 0:
            for path in self._reader.passed():
                path.unlink(missing_ok=True)
                del self._extents[path]


def _own_run(directory: Path, process: str) -> tuple[str, RunLock]:
    """A run of a name that was never used. Another process may look at the lock for a moment: then the next name."""
    while True:
        run = f"{process}-{secrets.token_hex(8)}"
        lock = RunLock(directory, run)
        if lock.take():
            return run, lock
        lock.release()
