"""What pip-audit prints, read: what could not be asked is never taken for fine."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tollgate.cli import scan as command
from tollgate.cli.app import app
from tollgate.site import Site
from tollgate.stack.scan import LOCKS, TOOL, Report

FINE = {"name": "certifi", "version": "2026.10.18", "vulns": []}
BAD = {
    "name": "urllib3",
    "version": "1.26.4",
    "vulns": [{"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"], "aliases": [], "description": ""}],
}
SKIPPED = {"name": "gguf", "skip_reason": "Dependency not found on PyPI and could not be audited: gguf (0.19)"}


def report(*rows: object) -> Report:
    made = Report()
    made.add("some.lock", json.dumps({"dependencies": rows, "fixes": []}))
    return made


def test_what_is_known_is_named_with_its_fix() -> None:
    made = report(FINE, BAD)
    assert made.known == ["some.lock: urllib3 1.26.4: PYSEC-2021-108, fixed in 1.26.5"]
    assert (made.asked, made.unasked) == (2, {})


def test_what_pip_audit_skipped_is_not_fine() -> None:
    made = report(SKIPPED, SKIPPED)
    assert made.asked == 0
    assert list(made.unasked.values()) == [2]


def test_an_answer_that_is_none_is_not_fine() -> None:
    made = Report()
    made.add("some.lock", "", "Traceback\nProxyError: no route")
    assert list(made.unasked) == ["some.lock: ProxyError: no route"]


@pytest.mark.parametrize(
    ("made", "status", "word"),
    [(report(FINE), 0, "0 known"), (report(FINE, BAD, SKIPPED), 1, "FAIL"), (report(FINE, SKIPPED), 3, "SKIP")],
    ids=["fine", "known", "not asked"],
)
def test_the_exit_code_says_which(monkeypatch: pytest.MonkeyPatch, made: Report, status: int, word: str) -> None:
    monkeypatch.setattr(command, "ask", lambda *_: made)
    done = CliRunner().invoke(app, ["scan"])
    assert (done.exit_code, word in done.output) == (status, True)


def test_every_lock_file_is_asked_about() -> None:
    root = Site.here().root
    there = {str(path.relative_to(root)) for path in root.rglob("requirements*.lock") if ".venv" not in path.parts}
    # requirements.lock is what requirements-dev.lock begins with.
    assert {path for path in there if not path.startswith("var/")} - {"requirements.lock"} == set(LOCKS)
    assert (root / TOOL).is_file()
