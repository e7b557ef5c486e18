"""`make doctor` names what a rollout has drained and left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.drain import prepare
from tollgate.stack.doctor import drained


def test_a_drained_replica_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Compose, "environment", {"TOLLGATE_RENDERED": str(tmp_path)})
    compose = Compose("t", (), Path("x"))
    assert list(drained.examine(compose)) == [], "before the first rollout there is no directory"
    (prepare(tmp_path) / "litellm-2").touch()
    (found,) = drained.examine(compose)
    assert (found.level, found.check) == ("WARN", "litellm-2")
    assert "make start" in found.hint
