"""The parts that a group shares end with it, and only once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.group_end import end_group, until_the_group_ends
from tests.support.stack import ROOT

pytest_plugins = ["pytester"]


@contextmanager
def noted(ended: list[str]) -> Iterator[str]:
    yield "value"
    ended.append("ended")


def test_it_ends_with_the_group_and_not_again_with_the_session() -> None:
    ended: list[str] = []
    with until_the_group_ends(noted(ended)) as value:
        assert value == "value" and ended == []
        end_group()
        assert ended == ["ended"]
    assert ended == ["ended"]
    end_group()
    assert ended == ["ended"]


def test_without_another_group_it_ends_with_the_session() -> None:
    ended: list[str] = []
    with until_the_group_ends(noted(ended)):
        pass
    assert ended == ["ended"]


FILE = """
import pytest
from tests.support.group_end import until_the_group_ends
from tests.unit.support.test_group_end import noted

ENDED = []

@pytest.fixture(scope="session")
def shared():
    with until_the_group_ends(noted(ENDED)) as value:
        yield value

def test_first(shared): assert ENDED == []
def test_second(shared): assert ENDED == []
def test_other(): assert ENDED == {expected}
"""
CONFTEST = """
import pytest
from tests.support.group_end import end_group

@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
    if nextitem is not None and nextitem.name == "test_other":
        {end}
"""


@pytest.mark.parametrize(("end", "expected"), [("end_group()", ["ended"]), ("pass", [])], ids=["ended", "twin"])
def test_the_next_group_begins_without_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, end: str, expected: list[str]
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeconftest(CONFTEST.replace("{end}", end))
    pytester.makepyfile(FILE.replace("{expected}", repr(expected)))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)
