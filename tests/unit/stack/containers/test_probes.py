"""A container's own health check, run by us. A script on PATH plays `docker`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.probes import AGAIN_S, SOON_S, Probes

A, B = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
Engine = Callable[..., None]


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """engine(id=(started, test)): what `inspect` says. A check is run as a program of this machine."""
    program = tmp_path / "bin" / "docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n'
        f'case $1 in inspect) cat {tmp_path}/inspect;; ps) cat {tmp_path}/ps;; exec) shift 2; exec "$@";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    def describe(**containers: tuple[str, list[str] | None]) -> None:
        lines = [
            f"{container}{'0' * 52}\t{started}\t" + json.dumps(test and {"Test": test, "Timeout": 5 * 10**9})
            for container, (started, test) in containers.items()
        ]
        (tmp_path / "inspect").write_text("\n".join(lines) + "\n")
        (tmp_path / "calls").write_text("")

    return describe


def execs(tmp_path: Path) -> int:
    return (tmp_path / "calls").read_text().count("exec ")


@pytest.mark.parametrize(
    ("test", "passes"),
    [
        (["CMD", "true"], True),
        (["CMD", "false"], False),
        (["CMD-SHELL", "echo yes | grep -q yes"], True),
        (["CMD-SHELL", "echo yes | grep -q no"], False),
        (["NONE"], False),
        (None, False),
    ],
)
def test_a_check_runs_as_the_image_or_compose_describes_it(
    engine: Engine, test: list[str] | None, passes: bool
) -> None:
    engine(**{A: ("t1", test)})
    assert Probes().passing([A]) == ({A} if passes else set())


def test_who_passed_is_not_asked_again_until_it_starts_again(engine: Engine, tmp_path: Path) -> None:
    probes = Probes(Clock())
    engine(**{A: ("t1", ["CMD", "true"]), B: ("t1", ["CMD", "true"])})
    assert probes.passing([A, B]) == {A, B}
    assert probes.passing([A, B]) == {A, B}
    assert execs(tmp_path) == 2
    engine(**{A: ("t2", ["CMD", "false"]), B: ("t1", ["CMD", "true"])})
    assert probes.passing([A, B]) == {B}, "a container that crashed has to pass again"


def test_who_failed_is_asked_again_after_a_while(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    probes = Probes(clock)
    ready = tmp_path / "ready"
    engine(**{A: ("t1", ["CMD", "test", "-f", str(ready)])})
    for failed, rest in enumerate((SOON_S, 2 * SOON_S, 4 * SOON_S, AGAIN_S, AGAIN_S), start=1):
        assert probes.passing([A]) == set()
        assert execs(tmp_path) == failed
        clock.now += 0.9 * rest
        (tmp_path / "calls").rename(tmp_path / "before")
        assert probes.passing([A]) == set(), "too soon"
        assert not (tmp_path / "calls").exists(), "and nothing is asked"
        (tmp_path / "before").rename(tmp_path / "calls")
        clock.now += 0.2 * rest
    ready.touch()
    assert probes.passing([A]) == {A}


def test_who_passed_and_fails_after_a_new_start_is_asked_again_soon(engine: Engine, tmp_path: Path) -> None:
    clock = Clock()
    probes = Probes(clock)
    engine(**{A: ("t1", ["CMD", "false"])})
    for _ in range(5):
        assert probes.passing([A]) == set()
        clock.now += 2 * AGAIN_S
    engine(**{A: ("t2", ["CMD", "true"])})
    assert probes.passing([A]) == {A}
    engine(**{A: ("t3", ["CMD", "false"])})
    assert probes.passing([A]) == set()
    engine(**{A: ("t3", ["CMD", "true"])})
    clock.now += SOON_S
    assert probes.passing([A]) == {A}


def test_a_check_that_hangs_fails(engine: Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine(**{A: ("t1", ["CMD", "sleep", "60"])})
    described = (tmp_path / "inspect").read_text()
    (tmp_path / "inspect").write_text(described.replace("5000000000", "200000000"))
    assert Probes().passing([A]) == set()


def test_nothing_is_asked_when_all_are_healthy(engine: Engine, tmp_path: Path) -> None:
    engine()
    assert Probes().passing([]) == set()
    assert (tmp_path / "calls").read_text() == ""


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 3 seconds (health: starting)", "healthy"),
        ("Up 2 hours (unhealthy)", "healthy"),
        ("Up 2 hours (healthy)", "healthy"),
        ("Up 2 hours", ""),
    ],
)
def test_a_container_is_what_its_check_says_now(engine: Engine, tmp_path: Path, status: str, health: str) -> None:
    for name in ("compose.yaml", "compose.env"):
        (tmp_path / name).touch()
    engine(**{A: ("t1", ["CMD", "true"])})
    (tmp_path / "ps").write_text(f"nginx\tt-nginx-1\t{A}\trunning\t3 seconds ago\t{status}\n")
    [row] = Compose("t", (tmp_path / "compose.yaml",), tmp_path / "compose.env").containers()
    assert (row.health, row.ready) == (health, True)


def test_twin_a_check_that_fails_leaves_dockers_word(engine: Engine, tmp_path: Path) -> None:
    for name in ("compose.yaml", "compose.env"):
        (tmp_path / name).touch()
    engine(**{A: ("t1", ["CMD", "false"])})
    (tmp_path / "ps").write_text(f"nginx\tt-nginx-1\t{A}\trunning\t2 hours ago\tUp 2 hours (unhealthy)\n")
    [row] = Compose("t", (tmp_path / "compose.yaml",), tmp_path / "compose.env").containers()
    assert row.failed
