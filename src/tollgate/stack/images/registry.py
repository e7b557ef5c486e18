"""Pulls images, and remembers during one run which registries do not answer."""

from __future__ import annotations

import os
import pty
import re
import select
import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from tollgate.stack.host.progress import Progress
from tollgate.stack.host.run import start
from tollgate.stack.images.versions import RegistryImage

FIRST_ANSWER_SECONDS = (8.0, 60.0)
"""Seconds that a registry may take to answer, for each try. The engine itself gives up a silent host after 15 s. The
longer limit is for a mirror that first fetches the image from another registry."""
STALL_SECONDS = 120.0
"""Seconds that a download may make no progress. It has no other limit: an image of ten gigabytes can take hours."""
UNREACHABLE = (
    "dial tcp",
    "no such host",
    "connection refused",
    "proxyconnect tcp",
    "x509: ",
    "tls: ",
    "gave http response to https",
)
"""Parts of the engine's message if it cannot reach a registry at all. Each has a space, and no image's name has one."""
TEMPORARY = (
    "i/o timeout",
    "handshake timeout",
    "timeout exceeded",
    "deadline exceeded",
    "connection reset by",
    ": eof",
)
"""Parts of its message if the next try may succeed."""
TERMINAL_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class SilentError(Exception):
    """No output came within the given time."""


class Registries:
    """Shared by all pulls of one run, in all threads. Times in seconds."""

    def __init__(self, first_answer: Sequence[float] = FIRST_ANSWER_SECONDS, stall: float = STALL_SECONDS) -> None:
        self._first_answer, self._stall = first_answer, stall
        self._asking: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._answered: set[str] = set()
        self._down: dict[str, str] = {}

    def pull(self, image: RegistryImage, progress: Progress) -> str:
        """Pull `image`. Returns '' on success, otherwise the reason.

        The first pull from a registry is also its probe. The engine makes it, with its own proxy and mirror settings.
        Other pulls from that registry wait for the result. If the registry answers no try, this run does not ask it
        again. If it has answered once, a failed pull does not stop other pulls.
        """
        download: Download | str | None = None
        with self._asking[image.registry]:
            if reason := self._down.get(image.registry):
                return reason
            if image.registry not in self._answered:
                download = self._begin(image)
                if isinstance(download, str):
                    self._down[image.registry] = download
                else:
                    self._answered.add(image.registry)
        download = download or self._begin(image)
        return download if isinstance(download, str) else download.finish(progress, self._stall)

    def _begin(self, image: RegistryImage) -> Download | str:
        """A download whose registry has answered, perhaps with a refusal; otherwise the reason."""
        reason = ""
        for seconds in self._first_answer:
            download = Download(image)
            try:
                line = download.first_line(seconds)
            except SilentError:
                download.stop()
                reason = f"registry {image.registry} did not answer within {seconds:g} s"
                continue
            if not (why := _unreachable(line)):
                return download
            download.stop()
            reason = f"registry {image.registry} cannot be reached: {why}"
            if not _is_temporary(line):
                break
        return reason


class Download:
    """One `docker pull` on its own terminal: on a pipe, Docker prints nothing while it downloads a layer."""

    def __init__(self, image: RegistryImage) -> None:
        self._image, self._text, self._last = image, "", ""
        self._terminal, slave = pty.openpty()
        try:
            self._process = start(["docker", "pull", image.reference], stdout=slave, stderr=slave)
        except BaseException:
            os.close(self._terminal)
            raise
        finally:
            os.close(slave)

    def first_line(self, seconds: float) -> str:
        """Docker's first line; '' if it ends without output. Raises SilentError if nothing comes within `seconds`."""
        end = time.monotonic() + seconds
        while not self._last:
            if not self._read(end - time.monotonic()):
                break
        return self._last

    def finish(self, progress: Progress, stall: float) -> str:
        """Follow the download to its end. Returns '' or the reason of a failure. `stall`: seconds without progress."""
        try:
            while self._read(stall):
                progress.detail(self._last)
        except SilentError:
            image = self._image
            return f"the download of {image.repository}:{image.tag} made no progress for {stall:g} s, so it was stopped"
        finally:
            self.stop()
        return _reason(self._last) if self._process.returncode else ""

    def stop(self) -> None:
        """End the pull if it runs; then the engine stops it. Leaves no process and no open terminal."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def _read(self, seconds: float) -> bool:
        """Read Docker's next output; False at its end. Raises SilentError if nothing comes within `seconds`."""
        if not select.select([self._terminal], [], [], max(seconds, 0))[0]:
            raise SilentError
        try:
            chunk = os.read(self._terminal, 65536)
        except OSError:  # on Linux, the end of a terminal that no process holds open
            chunk = b""
        *lines, self._text = re.split(r"[\r\n]+", self._text + TERMINAL_CODES.sub("", chunk.decode(errors="replace")))
        if not chunk:
            lines.append(self._text)
            self._process.wait()
        self._last = next((line.strip() for line in reversed(lines) if line.strip()), self._last)
        return bool(chunk)


def _unreachable(line: str) -> str:
    """Why the engine cannot reach the registry, in its own words; '' if the line shows that the registry answered."""
    failed = line.lower().startswith(("error", "cannot"))
    return line.rpartition(": ")[2] if failed and _contains(line, (*UNREACHABLE, *TEMPORARY)) else ""


def _is_temporary(line: str) -> bool:
    return _contains(line, TEMPORARY)


def _contains(line: str, marks: Sequence[str]) -> bool:
    return any(mark in line.lower() for mark in marks)


def _reason(line: str) -> str:
    return line.removeprefix("Error response from daemon: ").strip() or "docker pull failed"
