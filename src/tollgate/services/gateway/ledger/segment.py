"""The files of a journal: `<run>.lock`, held by the living process, and segments `<run>.<number>.journal`.

A run is one life of one process. A segment's room is reserved on the disk when it is made, so a line that fits is
never refused for a full disk.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from tollgate.services.gateway.ledger.lines import Line, split

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
_RUN = re.compile(r"(?P<run>[a-z0-9][a-z0-9-]{0,80})\.(?:lock|\d{6,}\.journal)", re.ASCII)
CHUNK = 262_144


class Segment:
    """The file that is written. Only `end` counts: bytes behind it are overwritten."""

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size, self.end = path, size, 0
        # Where the disk has it up to; -1 until the file's name is on the disk too.
        self.synced = -1
        self.lost = False
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(self.fd, 0, size)
        except OSError:
            self.close()
            path.unlink()
            raise

    @property
    def left(self) -> int:
        return self.size - self.end

    def append(self, data: bytes) -> None:
        """All of `data`, or an OSError and nothing of it."""
        done = 0
        while done < len(data):
            done += os.pwrite(self.fd, data[done:], self.end + done)
        self.end += len(data)

    def sync(self) -> None:
        """Bring what was written to the disk. An OSError means that the disk may have lost it."""
        end = self.end
        if end == self.synced:
            return
        os.fdatasync(self.fd)
        if self.synced < 0:
            _sync_directory(self.path.parent)
        self.synced = end

    def close(self) -> None:
        os.close(self.fd)


class RunLock:
    """The lock of a run. Its process holds it until it ends, however that happens."""

    def __init__(self, directory: Path, run: str) -> None:
        self.path = directory / f"{run}.lock"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """False if a living process holds it, or if its file was removed meanwhile."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.fstat(self._fd).st_ino == self.path.stat().st_ino
        except (BlockingIOError, FileNotFoundError):
            return False

    def release(self, *, remove: bool = False) -> None:
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)


def runs(directory: Path) -> list[str]:
    """Every run that left a file in this directory, in order."""
    matches = (_RUN.fullmatch(path.name) for path in directory.iterdir())
    return sorted({match["run"] for match in matches if match})


def segments(directory: Path, run: str) -> list[Path]:
    """A run's segments, the oldest first."""
    return sorted(directory.glob(f"{run}.*.journal"), key=lambda path: int(path.name.split(".")[1]))


def segment_path(directory: Path, run: str, number: int) -> Path:
    return directory / f"{run}.{number:06d}.journal"


def lines(path: Path, start: int, end: int | None = None) -> Iterator[Line]:
    """The lines of a file from offset `start` on, read in parts. `end` is where writing has come to."""
    size = path.stat().st_size if end is None else end
    with path.open("rb", buffering=0) as file:
        while start < size:
            file.seek(start)
            data = file.read(min(CHUNK, size - start))
            whole = data.rfind(b"\n") + 1 or len(data)
            last = start + len(data) >= size
            yield from split(data if last else data[:whole], start)
            start += len(data) if last else whole


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
