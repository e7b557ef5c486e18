"""Compares usage and report of a fixed ledger with reviewed copies; `UPDATE_GOLDEN=1` rewrites them for a review."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from rich.console import Console

from tests.support import ledger
from tollgate.cli.tenant import report, usage
from tollgate.ledger import output
from tollgate.ledger.month import Month, month
from tollgate.ledger.page import page
from tollgate.ledger.usage import Usage, overview
from tollgate.ledger.usage import usage as usage_of
from tollgate.ledger.windows import month_of

GOLDEN = Path(__file__).parent / "ledger"


def used() -> Usage:
    found = usage_of(ledger.answer(), ledger.TENANT, ledger.NOW)
    assert found is not None
    return found


def november(now: datetime = ledger.NOW) -> Month:
    window = month_of(date(2026, 11, 1), "2026-11")
    found = month(ledger.answer(), ledger.failures(), ledger.TENANT, window, now)
    assert found is not None
    return found


def empty_month() -> Month:
    found = month(ledger.answer() | {"entries": []}, None, ledger.TENANT, month_of(date(2026, 11, 1)), ledger.NOW)
    assert found is not None
    return found


def on_screen(show: Callable[[Console], None]) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=120, highlight=False, color_system=None))
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


SHOWN: dict[str, Callable[[], str]] = {
    "usage.txt": lambda: on_screen(lambda console: usage.show(console, used())),
    "usage.json": lambda: json.dumps(output.usage_json(used()), indent=2) + "\n",
    "usage.csv": lambda: output.entries_csv(used().team, used().entries, used().key_names),
    "everybody.txt": lambda: on_screen(
        lambda console: usage.show_everybody(console, overview(ledger.everybody(), ledger.NOW))
    ),
    "everybody.json": lambda: (
        json.dumps(output.overview_json(overview(ledger.everybody(), ledger.NOW)), indent=2) + "\n"
    ),
    "everybody.csv": lambda: output.overview_csv(overview(ledger.everybody(), ledger.NOW)),
    "report.txt": lambda: on_screen(lambda console: report.show(console, november())),
    "report.json": lambda: json.dumps(output.month_json(november()), indent=2) + "\n",
    "report.html": lambda: page(november()),
    "report-complete.html": lambda: page(november(datetime(2026, 12, 3, tzinfo=UTC))),
    "report-empty.txt": lambda: on_screen(lambda console: report.show(console, empty_month())),
    "report-empty.html": lambda: page(empty_month()),
}


@pytest.mark.parametrize("name", SHOWN)
def test_shown_as_reviewed(name: str) -> None:
    text, golden = SHOWN[name](), GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8"), (
        f"{name} changed: review it, then UPDATE_GOLDEN=1 pytest {__file__}"
    )
