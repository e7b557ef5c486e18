"""Runs host commands. The output goes to the progress display and a log; a failure becomes a StepError."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tollgate.disk import naming
from tollgate.errors import StepError, TollgateError
from tollgate.stack.host.masking import mask
from tollgate.stack.host.progress import Progress
from tollgate.stack.host.run import Running, follow, run

TAIL_LINES = 15


@dataclass(frozen=True)
class Command:
    """One command and the step that its failure names. `argv` never holds a secret: every local user can see it."""

    step: str
    argv: Sequence[str]
    hint: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None

    def run(self, progress: Progress, log: Path | None = None, stdin: IO[bytes] | None = None) -> str:
        """Run to the end and return all output (stdout and stderr together). Raises StepError with the last lines.

        `log` gets each line immediately, so the file is complete even if this process is killed.
        """
        lines: list[str] = []
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        # Unbuffered: after a failed write, closing a buffer would fail again.
        sink = log.open("wb", buffering=0) if log else None
        try:
            with self._start(stdin) as process:
                assert process.stdout is not None  # noqa: S101 - stdout=PIPE
                try:
                    for raw in process.stdout:
                        line = mask(raw.rstrip())  # a build or a container may print its secrets
                        lines.append(line)
                        if sink and log:
                            with naming(log):
                                sink.write(f"{line}\n".encode())
                        if line:
                            tail.append(line)
                            progress.detail(line)
                except BaseException:
                    process.terminate()  # an interrupted deploy must not leave apt or a build running
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

    def _start(self, stdin: IO[bytes] | None) -> Running:
        try:
            return follow(self.argv, env=self.env, cwd=self.cwd, stdin=stdin)
        except FileNotFoundError:
            raise StepError(self.step, f"{self.argv[0]} is not installed", self.hint) from None


def ask(*argv: str, timeout: float = 30, env: Mapping[str, str] | None = None) -> str | None:
    """The stripped output of a quick read-only command; None if it fails, is not installed or takes too long."""
    done = run(argv, timeout=timeout, env=env)
    return done.out.strip() if done.ok else None


def as_root(*argv: str) -> tuple[str, ...]:
    """`argv`, with sudo if we are not root. Raises TollgateError if sudo is missing."""
    if os.geteuid() == 0:
        return argv
    if ask("sudo", "-V") is None:
        raise TollgateError(
            f"{argv[0]} needs root, and sudo is not installed",
            "run the command as root, or install sudo",
        )
    return ("sudo", *argv)
