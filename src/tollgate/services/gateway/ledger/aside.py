"""Calls that Postgres refuses for what is in them: kept in a file of their own, so the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class Aside:
    """A file of lines of the journal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines = path.read_bytes().count(b"\n") if path.is_file() else 0

    @property
    def count(self) -> int:
        """The calls in the file, also those of earlier processes, for metrics. An operator may remove the file."""
        if self._lines and not self.path.is_file():
            self._lines = 0
        return self._lines

    def add(self, lines: Iterable[bytes]) -> None:
        """On the disk before anything forgets the call. OSError if that fails."""
        data = [line.rstrip(b"\n") + b"\n" for line in lines]
        if not data:
            return
        fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            for line in data:
                os.write(fd, line)
            os.fdatasync(fd)
        finally:
            os.close(fd)
        self._lines = self.count + len(data)
