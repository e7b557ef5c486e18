"""tests/coverage.md names tests, measured faults and lines of docs/limits/: all exist, and every row names one."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "tests" / "coverage.md"
LIMITS = ROOT / "docs" / "limits"
TEST = re.compile(r"\[((?:\w+\.)?test_\w+)\]\(([^)]+)\)")
LIMIT = re.compile(r"\[limits: “([^”]+)”\]\(\.\./docs/limits/([a-z-]+\.md)\)")
FAULT = re.compile(r"\[fault: “([^”]+)”\]\(\.\./docs/reliability\.md#faults\)")
MEND = "renamed or gone: write into tests/coverage.md which test, or which line of docs/limits/, shows it now"


@cache
def functions_of(path: Path) -> frozenset[str]:
    """The tests of a file, those of a class as Class.test_name."""
    if not path.is_file():
        return frozenset()
    top = ast.parse(path.read_text()).body
    classes = {node.name: node.body for node in top if isinstance(node, ast.ClassDef)}
    scopes = {"": top} | {f"{name}.": body for name, body in classes.items()}
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        f"{scope}{node.name}" for scope, body in scopes.items() for node in body if isinstance(node, functions)
    )


def one_line(text: str) -> str:
    return " ".join(text.split())


def missing(page: str) -> Iterator[str]:
    limits = {page.name: one_line(page.read_text()) for page in LIMITS.glob("*.md")}
    for name, path in TEST.findall(page):
        if name not in functions_of((PAGE.parent / path).resolve()):
            yield f"{path}::{name}"
    yield from (f"{file}: {words}" for words, file in LIMIT.findall(page) if words not in limits.get(file, ""))
    measured = (ROOT / "docs" / "reliability.md").read_text()
    yield from (f"reliability.md: {fault}" for fault in FAULT.findall(page) if f"\n| {fault} | " not in measured)


def unproved(page: str) -> list[str]:
    rows = [line for line in page.splitlines() if line.startswith("| ") and line != "| asked for | proved by |"]
    assert len(rows) > 100, "the page's tables are not read any more"
    return [row for row in rows if not any(kind.search(row) for kind in (TEST, LIMIT, FAULT))]


def test_what_the_page_names_is_there() -> None:
    assert list(missing(PAGE.read_text())) == [], MEND


def test_every_row_is_proved_or_limited() -> None:
    assert unproved(PAGE.read_text()) == []


@pytest.mark.parametrize(
    "row",
    [
        "| x | [test_that_nobody_wrote](unit/test_coverage_page.py) |",
        "| x | [test_every_row_is_proved_or_limited](unit/test_of_nothing.py) |",
        "| x | [TestNobody.test_every_row_is_proved_or_limited](unit/test_coverage_page.py) |",
        "| x | [limits: “a line that nobody wrote”](../docs/limits/promises.md) |",
        "| x | [limits: “No limit counts all tenants together”](../docs/limits/litellm.md) |",
        "| x | [fault: “a fault that nobody provoked”](../docs/reliability.md#faults) |",
    ],
)
def test_twin_a_made_up_name_is_seen(row: str) -> None:
    page = PAGE.read_text()
    assert len(list(missing(f"{page}\n{row}\n"))) == 1


def test_twin_a_row_without_proof_is_seen() -> None:
    row = "| x | surely |"
    assert unproved(f"{PAGE.read_text()}\n{row}\n") == [row]
