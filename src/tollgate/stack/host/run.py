"""The one door to the programs of this machine: every program is started here, with our environment and a time limit.

run      to its end, for an answer: never raises for what the program or the machine does
follow   line by line, while it runs
start    with streams of the caller's own
become   in the place of this process
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NoReturn

from tollgate.stack.host.masking import mask

PIPE = subprocess.PIPE
SECONDS = 60.0
Stream = IO[bytes] | int
Running = subprocess.Popen[str]


@dataclass(frozen=True)
class Ended:
    """How a program ended. `status` is None where it was not started or did not end in time; `why` then says so."""

    status: int | None
    out: str = ""
    err: str = ""
    why: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 0

    @property
    def reason(self) -> str:
        """Why it failed, in one line without credentials."""
        return mask(self.why or (self.err.strip().splitlines() or ["no message"])[-1])


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    given: str = "",
    timeout: float | None = SECONDS,
) -> Ended:
    """Run `argv` to its end. `env` comes on top of our environment, `given` is its standard input."""
    try:
        done = subprocess.run(
            list(argv),
            input=given,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=_environment(env),
        )
    except subprocess.TimeoutExpired:
        return Ended(None, why=f"no answer within {timeout:g} s")
    except OSError as error:
        return Ended(None, why=error.strerror or str(error))
    return Ended(done.returncode, done.stdout, done.stderr)


def follow(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: IO[bytes] | None = None,
) -> Running:
    """A running program whose two outputs come as the lines of one. Raises OSError where it cannot be started."""
    return subprocess.Popen(
        list(argv),
        stdin=stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        cwd=cwd,
        env=_environment(env),
    )


def start(
    argv: Sequence[str], *, stdout: Stream, stderr: Stream, stdin: Stream = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """A running program with the streams of the caller. Raises OSError where it cannot be started."""
    return subprocess.Popen(list(argv), stdin=stdin, stdout=stdout, stderr=stderr, env=_environment(None))


def become(argv: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """Replace this process: the program has its output and its signals, with nothing in between."""
    os.execvpe(argv[0], list(argv), _environment(env))  # noqa: S606  no shell


def _environment(more: Mapping[str, str] | None) -> dict[str, str]:
    return {**os.environ, **(more or {})}
