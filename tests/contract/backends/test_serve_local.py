"""The end of `tollgate serve-local`: in every case it removes both containers and says why it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.backends.conftest import PROJECT, left_of, tollgate
from tests.support.eventually import eventually
from tests.support.site import new_home
from tollgate.site import Site

TWO = f"{PROJECT}-two"
MADE = f"{TWO}-local-basic"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    yield new_home(tmp_path / "home", project=TWO)
    assert left_of(MADE) == "", "serve-local left something behind"


def words(model: Path, *more: str) -> tuple[str, ...]:
    return ("serve-local", "--backend", "llama.cpp", "--model", str(model), "--port", "0", *more)


@contextmanager
def started(site: Site, model: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    printed = site.home / "printed"
    with printed.open("w") as stream:
        argv = tollgate(site, *words(model))
        process = subprocess.Popen(argv, stdout=stream, stderr=subprocess.STDOUT, text=True)
    try:
        yield process, printed
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=120)


def container(name: str) -> str:
    argv = ["docker", "ps", "--quiet", "--filter", f"name={MADE}-{name}-1"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


def test_ctrl_c_during_the_start_removes_both(site: Site, model: Path) -> None:
    with started(site, model) as (process, printed):
        eventually(lambda: container("backend-local"), within=240, every=0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130, printed.read_text()
    assert "Ctrl-C stops both" not in printed.read_text()


def test_the_gateway_stops_when_the_engine_stops(site: Site, model: Path) -> None:
    with started(site, model) as (process, printed):
        eventually(lambda: "Ctrl-C stops both" in printed.read_text() or process.poll() is not None, within=300)
        subprocess.run(["docker", "kill", container("backend-local")], check=True, capture_output=True)
        assert process.wait(timeout=120) == 1
    assert "error: serving: backend-local: exited with 137" in printed.read_text()


def run(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(tollgate(site, *arguments), capture_output=True, text=True, timeout=120, check=False)


def test_a_file_that_is_not_gguf_starts_nothing(site: Site, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "notes.gguf").write_text("not a model")
    (tmp_path / "notes.gguf").chmod(0o644)
    done = run(site, *words(tmp_path / "notes.gguf"))
    assert done.returncode == 1
    assert "notes.gguf is not a GGUF file" in done.stderr
    assert "hint:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (site.home / "var" / "serve-local").exists()


def test_a_dry_run_prints_the_entry_and_starts_nothing(site: Site, model: Path) -> None:
    done = run(site, *words(model, "--dry-run", "--alias", "mine", "--ctx", "4096"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("backends:\n  local: {engine:")
    assert '"mine"' in done.stdout
    assert "4096" in done.stdout
    assert not (site.home / "var" / "serve-local").exists()
