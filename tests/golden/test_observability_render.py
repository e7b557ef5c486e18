"""The rendered files and the committed dashboards, to the letter.

After a change that is meant: `make golden`, then read the difference before committing it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.receivers import receivers
from tollgate.render.dashboards import dashboards
from tollgate.render.observability import render_observability
from tollgate.render.receivers import Receivers
from tollgate.render.watchers import WATCHERS

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = Path(__file__).parent / "observability"
UPDATE = os.environ.get("UPDATE_GOLDEN") == "1"
WEBHOOK = Receivers(webhook=True)

VARIANTS: dict[str, dict[str, str]] = {
    name: {str(file.path): file.text for file in files}
    for name, files in {
        "three-replicas": render_observability(ROOT, 3, "tollgate"),
        "every-receiver": render_observability(ROOT, 3, "tollgate", receivers=receivers()),
        "two-gateways": render_observability(ROOT, 3, "tollgate", gateways=2),
        "one-replica-grafana-webhook": render_observability(ROOT, 1, "acme", watchers=WATCHERS, receivers=WEBHOOK),
    }.items()
}


def compare(directory: Path, files: dict[str, str]) -> None:
    if UPDATE:
        for path, text in files.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text)
    there = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert there == files.keys()
    for path, text in files.items():
        assert (directory / path).read_text() == text, f"{directory / path} is stale; see the top of this file"


@pytest.mark.parametrize("variant", VARIANTS)
def test_rendered_files(variant: str) -> None:
    """The other variants keep only the files that differ from the first."""
    files, first = VARIANTS[variant], VARIANTS["three-replicas"]
    compare(GOLDEN / variant, {p: text for p, text in files.items() if files is first or text != first[p]})


def test_committed_dashboards() -> None:
    """Grafana reads grafana/dashboards from the checkout, so a changed generator must be committed with its output."""
    compare(ROOT / "grafana" / "dashboards", dashboards())
