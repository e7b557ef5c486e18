"""Reads pip-audit's output. A version that it could not ask about never counts as fine."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tollgate.cli import scan as command
from tollgate.cli.app import app
from tollgate.site import Site
from tollgate.stack.images.scan import LOCKS, TOOL, Report

FINE = {"name": "certifi", "version": "2026.10.18", "vulns": []}
BAD = {
    "name": "urllib3",
    "version": "1.26.4",
    "vulns": [{"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"], "aliases": [], "description": ""}],
}
SKIPPED = {"name": "gguf", "skip_reason": "Dependency not found on PyPI and could not be audited: gguf (0.19)"}


def report(*rows: object) -> Report:
    report = Report()
    report.add("some.lock", json.dumps({"dependencies": rows, "fixes": []}))
    return report


def test_a_known_vulnerability_is_named_with_its_fix() -> None:
    answer = report(FINE, BAD)
    assert answer.known == ["some.lock: urllib3 1.26.4: PYSEC-2021-108, fixed in 1.26.5"]
    assert (answer.asked, answer.unasked) == (2, {})


def test_a_version_that_pip_audit_skipped_is_not_fine() -> None:
    answer = report(SKIPPED, SKIPPED)
    assert answer.asked == 0
    assert list(answer.unasked.values()) == [2]


def test_an_unreadable_answer_is_not_fine() -> None:
    answer = Report()
    answer.add("some.lock", "", "Traceback\nProxyError: no route")
    assert list(answer.unasked) == ["some.lock: ProxyError: no route"]


@pytest.mark.parametrize(
    ("answer", "status", "word"),
    [(report(FINE), 0, "0 known"), (report(FINE, BAD, SKIPPED), 1, "FAIL"), (report(FINE, SKIPPED), 3, "SKIP")],
    ids=["fine", "known", "not asked"],
)
def test_the_exit_code_shows_the_result(
    monkeypatch: pytest.MonkeyPatch, answer: Report, status: int, word: str
) -> None:
    monkeypatch.setattr(command, "ask", lambda *_: answer)
    done = CliRunner().invoke(app, ["scan"])
    assert (done.exit_code, word in done.output) == (status, True)


def test_every_lock_file_is_scanned() -> None:
    root = Site.here().root
    locks = {str(path.relative_to(root)) for path in root.rglob("requirements*.lock") if ".venv" not in path.parts}
    # requirements-dev.lock contains requirements.lock.
    assert {path for path in locks if not path.startswith("var/")} - {"requirements.lock"} == set(LOCKS)
    assert (root / TOOL).is_file()
