"""Optional containers that a deploy removes. The engine is recorded, not run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tollgate.stack.containers import optional
from tollgate.stack.containers.compose import BACKUP, Compose
from tollgate.stack.containers.container import Container


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the containers that were stopped. A backup container and a Grafana run."""
    calls: list[str] = []

    def docker(argv: Sequence[str], **_: object) -> str:
        if argv[1] == "stop":
            calls.append(argv[2])
        return ""

    rows = [Container(name, f"t-{name}-1", f"id-of-{name}", "running", "healthy", 0, "1 hour") for name in RUNNING]
    monkeypatch.setattr(Compose, "containers", lambda _: rows)
    monkeypatch.setattr(optional, "docker", docker)
    return calls


RUNNING = ("backup", "grafana", "nginx")


def removed(tmp_path: Path, *, scheduled: bool) -> list[str]:
    file = tmp_path / BACKUP
    file.parent.mkdir()
    if scheduled:
        file.touch()
    changes, problems = optional._remove_dropped(Compose("t", (), tmp_path / "env", (file,)), ["nginx"])
    assert problems == []
    return changes


def test_backups_run_on_while_their_image_cannot_be_made(tmp_path: Path, stopped: list[str]) -> None:
    assert removed(tmp_path, scheduled=True) == ["removed grafana"]
    assert stopped == ["id-of-grafana"]


def test_twin_without_a_schedule_their_container_goes(tmp_path: Path, stopped: list[str]) -> None:
    assert removed(tmp_path, scheduled=False) == ["removed backup", "removed grafana"]
    assert stopped == ["id-of-backup", "id-of-grafana"]
