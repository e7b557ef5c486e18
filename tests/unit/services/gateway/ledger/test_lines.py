"""Lines of the journal, and what is left of them after a crash."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.gateway.ledger import lines

CONTENT = {"do": "end", "text": 'é " \\ \u2028', "numbers": [1, 2]}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@pytest.fixture(params=["orjson", "json"])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """With orjson, and as it is where that is not installed."""
    if request.param == "json":
        monkeypatch.setitem(sys.modules, "orjson", None)
    yield importlib.reload(lines)
    monkeypatch.undo()
    importlib.reload(lines)


def test_a_line_is_one_json_object(module: Any) -> None:
    raw = module.encode(CONTENT)
    assert raw.count(b"\n") == 1 and raw.endswith(b"\n")
    assert json.loads(raw) == {"crc": raw[8:16].decode(), **CONTENT}
    assert module.decode(raw[:-1]) == CONTENT


def test_both_encoders_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = lines.encode(CONTENT)
    monkeypatch.setattr(lines, "orjson", None)
    assert lines.encode(CONTENT) == raw


@given(st.dictionaries(st.text("abc", min_size=1), TEXT | st.integers(0, 2**62), min_size=1), st.data())
def test_a_line_that_is_cut_or_changed_is_told_apart(content: dict[str, Any], data: Any) -> None:
    raw = lines.encode(content)[:-1]
    assert lines.decode(raw) == content
    at = data.draw(st.integers(0, len(raw) - 1))
    assert lines.decode(raw[:at]) is None
    assert lines.decode(raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]) is None


def test_a_line_without_its_newline_is_not_whole() -> None:
    first, second, third = (lines.encode({"a": number}) for number in (1, 2, 3))
    found = list(lines.split(first + second + third[:-1], 100))
    assert [line.content for line in found] == [{"a": 1}, {"a": 2}, None]
    assert [line.end for line in found] == [100 + len(first), 100 + len(first) * 2, 100 + len(first) * 3 - 1]


def test_room_that_was_not_used_is_no_line() -> None:
    line = lines.encode({"a": 1})
    data = b"\0" * 10 + line + b"\0" * 50
    assert [found.content for found in lines.split(data, 0)] == [{"a": 1}]
    assert list(lines.split(b"\0" * 50, 0)) == []
