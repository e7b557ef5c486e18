"""Pull images, and learn once a run which registries answer."""

from __future__ import annotations

import subprocess
import threading
from collections import defaultdict
from contextlib import suppress

from tollgate.stack.image_versions import RegistryImage
from tollgate.stack.progress import Progress

FIRST_ANSWER_SECONDS = 8
"""How long a registry may take to answer at all; the download after that may take as long as it needs."""
NO_CONNECTION = (
    "dial tcp",
    "no such host",
    "timeout",
    "deadline exceeded",
    "connection refused",
    "connection reset",
    "proxyconnect",
    "x509",
    "tls",
    "EOF",
)
"""What the engine says of a registry that cannot be reached, as opposed to an image that is not there."""


class Registries:
    """Shared by all pulls of one run, from any thread."""

    def __init__(self, first_answer_seconds: float = FIRST_ANSWER_SECONDS) -> None:
        self._first_answer_seconds = first_answer_seconds
        self._asking: dict[str, threading.Lock] = defaultdict(threading.Lock)
        self._answers: dict[str, str] = {}

    def pull(self, image: RegistryImage, progress: Progress) -> str:
        """Pull `image`; '' when it is here, else the reason. A registry found unreachable is not asked again.

        The first pull from a registry is also its probe, through the engine and so with the engine's own proxy and
        mirror settings; others from the same registry wait for its outcome.
        """
        with self._asking[image.registry]:
            if image.registry in self._answers:
                begun = None
            else:
                begun = self._start(image)
                self._answers[image.registry] = self._unreachable(image.registry, *begun)
        if reason := self._answers[image.registry]:
            return reason
        return _finish(*(begun or self._start(image)), progress)

    def _start(self, image: RegistryImage) -> tuple[subprocess.Popen[str], str]:
        """Begin the pull and return it with its first line of output; '' where none came in time."""
        process = subprocess.Popen(
            ["docker", "pull", image.reference],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        silence = threading.Timer(self._first_answer_seconds, process.kill)
        silence.start()
        line = process.stdout.readline().strip() if process.stdout else ""
        silence.cancel()
        return process, line

    def _unreachable(self, registry: str, process: subprocess.Popen[str], line: str) -> str:
        """Why the registry cannot be reached; '' where it answered, were it with a refusal."""
        if not line:
            process.communicate()
            return f"registry {registry} did not answer within {self._first_answer_seconds:g} s"
        if _failed(line) and any(mark.lower() in line.lower() for mark in NO_CONNECTION):
            process.communicate()
            return f"registry {registry} cannot be reached: {line.rpartition(': ')[2]}"
        return ""


def _finish(process: subprocess.Popen[str], line: str, progress: Progress) -> str:
    """Follow a pull to its end; '' or the reason it failed."""
    last = line
    try:
        with process:
            for raw in process.stdout or ():
                last = raw.strip() or last
                progress.detail(last)
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    return _reason(last) if process.returncode else ""


def _failed(line: str) -> bool:
    return line.lower().startswith(("error", "cannot"))


def _reason(line: str) -> str:
    return line.removeprefix("Error response from daemon: ").strip() or "docker pull failed"
