"""One command of the run: started in a process group of its own, watched, and ended together with all it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

EVERY_S = 0.5
TELL_S = 20
# pytest takes down what its fixtures started; a stack needs most of this.
GRACE_S = 90


def _hear_ctrl_c() -> None:
    """A shell starts background programs with SIGINT ignored, and their children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class TimeIsUpError(Exception):
    """The run has lasted as long as it may."""


@dataclass
class Process:
    """`log` gets the output; without it the output goes where ours goes."""

    name: str
    command: Sequence[str]
    environment: dict[str, str]
    log: Path | None = None
    seconds: float = field(default=0.0, init=False)

    def start(self) -> None:
        self._began = time.monotonic()
        output = self.log.open("w") if self.log else None
        try:
            self.running = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT if output else None,
                start_new_session=True,
                preexec_fn=_hear_ctrl_c,
            )
        finally:
            if output:
                output.close()

    def poll(self) -> int | None:
        code = self.running.poll()
        if code is None or not self.seconds:
            self.seconds = time.monotonic() - self._began
        return code

    def state(self) -> str:
        """For a log only: how long it has run, and its last line."""
        assert self.log is not None
        with self.log.open("rb") as stream:
            stream.seek(max(0, self.log.stat().st_size - 2000))
            lines = stream.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"    {self.seconds:4.0f} s  {self.name}: {last[:120]}"

    def end(self) -> None:
        """As Ctrl-C would end it; whatever of its group is still there after GRACE_S is killed."""
        self._signal(signal.SIGINT)
        try:
            with suppress(subprocess.TimeoutExpired):
                self.running.wait(GRACE_S)
        finally:
            self._signal(signal.SIGKILL)
            self.running.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.running.pid, number)


def run(processes: Sequence[Process], until: float) -> int:
    """Run them side by side to their ends; the first exit status that is not 0, in the order given.

    The output of those with a log is printed whole as each ends, and one line about all of them every TELL_S meanwhile.
    `until` is of time.monotonic(). An exception here, also TimeIsUpError, ends the processes first.
    """
    with ended_whatever_happens(processes):
        for process in processes:
            process.start()
        waiting, told = list(processes), time.monotonic()
        while waiting:
            for process in [process for process in waiting if process.poll() is not None]:
                waiting.remove(process)
                show(process)
            if time.monotonic() > until:
                raise TimeIsUpError
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                say(*(process.state() for process in waiting if process.log))
            time.sleep(EVERY_S)
    return next((code for process in processes if (code := process.running.returncode)), 0)


@contextmanager
def ended_whatever_happens(processes: Sequence[Process]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if hasattr(process, "running") and process.poll() is None:
                process.end()
                show(process)


def show(process: Process) -> None:
    """Without a log it was shown as it came, and its own last line stays the last."""
    if process.log is None:
        return
    sys.stdout.write(process.log.read_text(errors="replace"))
    say(f"==> {process.name}: {process.seconds:.0f} s, exit status {process.running.returncode}")


def say(*lines: str) -> None:
    for line in lines:
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
