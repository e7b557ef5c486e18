"""Run one host command: its lines go to the progress display and a log, a failure becomes a StepError."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tollgate.errors import StepError, TollgateError
from tollgate.stack.masking import mask
from tollgate.stack.progress import Progress

TAIL_LINES = 15


@dataclass(frozen=True)
class Command:
    """An argv with what a failure of it is called. `argv` never holds a secret: it is visible to every local user."""

    step: str
    argv: Sequence[str]
    hint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None

    def run(self, progress: Progress, log: Path | None = None, stdin: IO[bytes] | None = None) -> str:
        """Run to the end and return all output (stdout and stderr as one). Raises StepError with the last lines.

        With `log`, the whole output is also in that file, written as it comes, so it survives being killed.
        """
        lines: list[str] = []
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        sink = log.open("w", encoding="utf-8") if log else None
        try:
            with self._start(stdin) as process:
                assert process.stdout is not None  # noqa: S101 - asked for with PIPE
                try:
                    for raw in process.stdout:
                        line = mask(raw.rstrip())  # a build or a container may print what it was given
                        lines.append(line)
                        if sink:
                            sink.write(line + "\n")
                            sink.flush()
                        if line:
                            tail.append(line)
                            progress.detail(line)
                except BaseException:
                    process.terminate()  # an interrupted deploy must not leave apt or a build running behind it
                    raise
        finally:
            if sink:
                sink.close()
        if process.returncode:
            cause = f"{self.argv[0]} ended with status {process.returncode}"
            raise StepError(
                self.step,
                cause,
                (f"{self.hint}; " if self.hint and log else self.hint) + (f"the whole log is {log}" if log else ""),
                tail,
            )
        return "\n".join(lines)

    def _start(self, stdin: IO[bytes] | None) -> subprocess.Popen[str]:
        try:
            return subprocess.Popen(
                list(self.argv),
                stdin=stdin or subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=self.cwd,
                env={**os.environ, **self.env},
            )
        except FileNotFoundError:
            raise StepError(self.step, f"{self.argv[0]} is not installed", self.hint) from None


def ask(*argv: str, timeout: float = 30, env: Mapping[str, str] | None = None) -> str | None:
    """The output of a quick read-only question, stripped; None where it fails, is missing or takes too long."""
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(env or {})},
        )
    except (FileNotFoundError, PermissionError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def as_root(*argv: str) -> tuple[str, ...]:
    """`argv`, through sudo where we are not root. Raises TollgateError where there is no sudo either."""
    if os.geteuid() == 0:
        return argv
    if ask("sudo", "-V") is None:
        raise TollgateError(
            f"{argv[0]} needs root, and there is no sudo here",
            "run the command as root, or install sudo",
        )
    return ("sudo", *argv)
