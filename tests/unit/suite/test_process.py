"""Commands that `make test` runs side by side: their output, their exit status, and that none outlives the run."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.suite.process import Process, TimeIsUpError, run
from tests.support.eventually import eventually

FAR = 1e9
# A child of a child, as a lane's `docker` would be; its number is written down.
PARENT = "trap 'echo interrupted; exit 3' INT; sleep 600 & echo $! >$1; wait"


def shell(name: str, script: str, log: Path | None, *words: str) -> Process:
    return Process(name, ["sh", "-c", script, "sh", *words], {}, log)


def alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_the_output_of_each_is_shown_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loop = "for i in 1 2 3; do echo $1 $i; sleep 0.05; done"
    both = [shell(name, loop, tmp_path / name, name) for name in ("left", "right")]
    assert run(both, FAR) == 0
    shown = capsys.readouterr().out
    assert "left 1\nleft 2\nleft 3\n==> left: 0 s, exit status 0\n" in shown
    assert "right 1\nright 2\nright 3\n==> right: 0 s, exit status 0\n" in shown


def test_one_that_fails_fails_the_run_and_the_other_goes_on_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = shell("failing", "echo broken >&2; exit 7", tmp_path / "failing")
    other = shell("other", "sleep 0.6; echo whole", tmp_path / "other")
    assert run([other, failing], FAR) == 7
    shown = capsys.readouterr().out
    assert "broken\n==> failing: 0 s, exit status 7" in shown and "whole\n" in shown


def test_a_process_that_a_signal_ended_is_no_success(tmp_path: Path) -> None:
    assert run([shell("killed", "kill -KILL $$", tmp_path / "log")], FAR) != 0


def test_when_the_time_is_up_everything_that_was_started_ends(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = tmp_path / "pid"
    process = shell("long", PARENT, tmp_path / "log", str(written))
    with pytest.raises(TimeIsUpError):
        run([process], time.monotonic() + 1)
    assert "interrupted\n" in capsys.readouterr().out, "it was asked to end before it was killed"
    child = int(written.read_text())
    eventually(lambda: not alive(child), within=10)


def test_an_interrupted_run_ends_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = tmp_path / "pid"
    process = shell("long", PARENT, tmp_path / "log", str(written))

    def interrupt(_: Process) -> str:
        if written.exists():
            raise KeyboardInterrupt
        return ""

    monkeypatch.setattr("tests.suite.process.TELL_S", 0)
    monkeypatch.setattr(Process, "state", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run([process], FAR)
    assert process.running.returncode == 3
    child = int(written.read_text())
    eventually(lambda: not alive(child), within=10)


def test_it_does_not_ask_in_vain_for_a_terminal(tmp_path: Path) -> None:
    assert run([shell("reads", "! read -r line", tmp_path / "log")], FAR) == 0


def test_twin_a_process_that_is_left_alone_lives() -> None:
    assert alive(os.getpid())
