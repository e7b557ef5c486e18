"""No regular expression of the services repeats a group without an end: on a long text it takes hours, or gigabytes."""

from __future__ import annotations

import ast
import re._constants as codes  # type: ignore[import-not-found]
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
SERVICES = ROOT / "src" / "tollgate" / "services"
FEW = 20
REPEATS = (codes.MAX_REPEAT, codes.MIN_REPEAT)


def patterns() -> Iterator[tuple[str, str | bytes]]:
    """The place and text of each pattern that stands in a call of `re`."""
    for file in sorted(SERVICES.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.") and node.args):
                continue
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str | bytes):
                yield f"{file.relative_to(SERVICES)}:{node.lineno}", text.value


def repeats_a_group(parsed: Any) -> bool:
    for code, value in parsed:
        if code in REPEATS:
            _, most, body = value
            if most > FEW and (len(body) > 1 or body[0][0] in (codes.SUBPATTERN, codes.BRANCH, *REPEATS)):
                return True
        if any(repeats_a_group(inner) for inner in _inside(value)):
            return True
    return False


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, parser.SubPattern):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _inside(part)


def test_no_pattern_repeats_a_group_for_ever() -> None:
    found = dict(patterns())
    assert len(found) > 40, "they are read from another form now"
    assert [place for place, pattern in found.items() if repeats_a_group(parser.parse(pattern))] == []


@pytest.mark.parametrize("pattern", [r'"[^"]*(?:\\.[^"]*)*"', "(a|b)+", "(?:ab){2,}", "x(?:(?:a+){1,30})?"])
def test_twin_such_a_pattern_is_seen(pattern: str) -> None:
    assert repeats_a_group(parser.parse(pattern))


@pytest.mark.parametrize("pattern", [r"[a-z]*\d+", r"(?:\d{1,3}\.){3}\d", "(a|b)?", "^(this|that)$"])
def test_twin_others_are_not(pattern: str) -> None:
    assert not repeats_a_group(parser.parse(pattern))
