"""If there is no engine and installing one is forbidden, a deploy stops before it changes anything."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import new_home

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "deploy.sh"


def deploy(home: Path, path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """`tollgate deploy` on a machine that has only the programs in `path`."""
    site = new_home(home)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER", "SKIP_"))}
    environ = {**kept, "PATH": str(path), **environment}
    command = [sys.executable, "-m", "tollgate", "--home", str(site.home), "deploy"]
    return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=120, check=False)


@pytest.mark.parametrize("wish", ["1", "yes", "true"])
def test_without_an_engine_the_error_has_the_cause_and_a_hint(tmp_path: Path, wish: str) -> None:
    done = deploy(tmp_path / "home", tmp_path, SKIP_ENGINE_INSTALL=wish)
    assert done.returncode == 1
    assert (
        "error: no Docker engine answers, and SKIP_ENGINE_INSTALL=1 forbids installing or starting one" in done.stderr
    )
    assert "\nhint:  install and start Docker Engine with the compose and buildx plugins" in done.stderr
    assert "Traceback" not in done.stderr
    assert "==> images" not in done.stderr
    assert not (tmp_path / "home" / "var" / "rendered").exists()


def test_without_a_plugin_the_error_names_the_plugin(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\ncase "$1" in version) echo 27.1;; *) exit 1;; esac\n')
    docker.chmod(0o755)
    done = deploy(tmp_path / "home", tmp_path, SKIP_ENGINE_INSTALL="1")
    assert done.returncode == 1
    assert "compose" in done.stderr.splitlines()[-2]
    assert done.stderr.splitlines()[-1].startswith("hint:  ")
    assert "Traceback" not in done.stderr


def test_an_unknown_verb_is_refused_before_anything_is_installed() -> None:
    done = subprocess.run([SCRIPT, "nonsense"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'error: expected a command, found "nonsense"' in done.stderr
    assert "start" in done.stderr


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "status", "logs", "clean"])
def test_every_old_verb_is_in_the_scripts_help(verb: str) -> None:
    done = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True)
    assert f"\n  {verb} " in done.stdout
