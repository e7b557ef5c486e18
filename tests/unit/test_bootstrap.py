"""scripts/bootstrap.sh makes .venv once, and again if it cannot be used. A script plays Python and pip."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tollgate.site import Site

# Stands for the host's Python and for the one in .venv: notes what it is asked, makes .venv, is 3.12 unless told.
PYTHON = """#!/bin/bash
case "$*" in
  "-c import sys; print"*) cat version ;;
  "-m venv"*) echo "$*" >>asked; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip"*) echo "pip" >>asked; [ ! -e pip-fails ] ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "kit"
    (root / "scripts").mkdir(parents=True)
    shutil.copy(Site.here().root / "scripts" / "bootstrap.sh", root / "scripts")
    for name in ("requirements.lock", "requirements-dev.lock", "pyproject.toml"):
        (root / name).write_text(f"{name} 1\n")
    (root / "version").write_text("3.12\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").write_text(PYTHON)
    (tmp_path / "bin" / "python3").chmod(0o755)
    return root


def bootstrap(root: Path, *arguments: str) -> tuple[list[str], int]:
    """The calls of Python, and the exit code."""
    asked = root / "asked"
    asked.unlink(missing_ok=True)
    path = f"{root.parent / 'bin'}:{os.environ['PATH']}"
    command = ["bash", "scripts/bootstrap.sh", *arguments]
    done = subprocess.run(command, cwd=root, env={"PATH": path}, capture_output=True, text=True, check=False)
    return (asked.read_text().splitlines() if asked.exists() else []), done.returncode


ANEW = ["-m venv --clear .venv", "pip", "pip"]


def test_it_makes_one_and_then_leaves_it_alone(checkout: Path) -> None:
    assert bootstrap(checkout) == (ANEW, 0)
    assert bootstrap(checkout) == ([], 0)


def test_a_changed_lock_is_installed_into_what_is_there(checkout: Path) -> None:
    bootstrap(checkout)
    (checkout / "requirements.lock").write_text("2\n")
    assert bootstrap(checkout) == (["pip", "pip"], 0)


def test_a_development_environment_serves_for_both(checkout: Path) -> None:
    bootstrap(checkout)
    assert bootstrap(checkout, "--dev") == (["pip", "pip"], 0)
    assert bootstrap(checkout) == ([], 0)


def test_after_an_interrupted_run_it_begins_again(checkout: Path) -> None:
    (checkout / "pip-fails").touch()
    assert bootstrap(checkout)[1] == 1
    (checkout / "pip-fails").unlink()
    assert bootstrap(checkout) == (ANEW, 0)


def test_a_moved_checkout_gets_a_new_one(checkout: Path) -> None:
    bootstrap(checkout)
    assert bootstrap(checkout.rename(checkout.with_name("moved"))) == (ANEW, 0)


def test_another_version_of_python_gets_a_new_one(checkout: Path) -> None:
    bootstrap(checkout)
    (checkout / "version").write_text("3.13\n")
    assert bootstrap(checkout) == (ANEW, 0)


@pytest.mark.parametrize("broken", ["does not run", "is gone"])
def test_a_python_that_does_not_run_is_replaced(checkout: Path, broken: str) -> None:
    bootstrap(checkout)
    python = checkout / ".venv" / "bin" / "python"
    python.unlink()
    if broken == "does not run":
        python.symlink_to("/nonexistent/python3")
    assert bootstrap(checkout) == (ANEW, 0)


def test_a_stamp_of_an_older_form_counts_as_none(checkout: Path) -> None:
    bootstrap(checkout)
    (checkout / ".venv" / ".installed").write_text("requirements.lock 0123\n")
    assert bootstrap(checkout) == (ANEW, 0)
