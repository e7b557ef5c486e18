"""The sweep removes leftovers of this checkout's tests and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import stack, sweep
from tests.support.stack import BENCH, project_name


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """Every docker command; each listing finds one thing, named after its label, if that is this checkout's bench's."""
    commands: list[tuple[str, ...]] = []

    def docker(*arguments: str) -> list[str]:
        commands.append(arguments)
        return ["left"] if arguments[-1].endswith(f"={project_name(BENCH)}") else []

    monkeypatch.setattr(sweep, "docker", docker)
    monkeypatch.setattr(sweep, "SESSIONS", tmp_path / "var" / "test-sessions")
    return commands


def test_networks_and_volumes_are_found_without_containers(
    asked: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep.main() == 0
    assert [command for command in asked if "--filter" not in command] == [
        ("rm", "--force", "--volumes", "left"),
        ("network", "rm", "left"),
        ("volume", "rm", "left"),
    ]
    assert "1 containers, 1 networks, 1 volumes" in capsys.readouterr().out


def test_labels_are_whole_names_of_this_checkout(asked: list[tuple[str, ...]]) -> None:
    marks = sweep.labels(["a-session"])
    assert f"com.docker.compose.project={project_name()}" in marks
    assert "org.testcontainers.session-id=a-session" in marks
    assert all(project_name() in mark for mark in marks if "compose" in mark)


def test_nothing_is_swept_while_tests_run(asked: list[tuple[str, ...]]) -> None:
    """Another process holds the lock, as a session of another terminal does; after its death it holds it no more."""
    hold = f"from tests.support import sweep; from pathlib import Path; sweep.SESSIONS = Path({str(sweep.SESSIONS)!r});"
    command = [sys.executable, "-c", f"{hold} sweep.remember('x'); print('held', flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=stack.ROOT) as other:
        assert other.stdout and other.stdout.readline() == "held\n"
        sweep.main()
        assert asked == []
        other.kill()
        other.wait()
    sweep.main()
    assert ("ps", "--all", "--quiet", "--filter", "label=org.testcontainers.session-id=x") in asked


def test_a_project_that_the_sweep_would_not_find_cannot_be_named() -> None:
    with pytest.raises(ValueError, match="SUFFIXES"):
        project_name("-another")
