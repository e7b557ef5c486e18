"""For every test session: remember it, so that what it starts can be found if it is killed; and mind Docker's ports.

And the one stack that tests/docs, tests/clients and tests/stack share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from testcontainers.core.labels import SESSION_ID

from tests.suite.groups import REQUESTS, STACK, group, turn, within_the_stack
from tests.suite.lanes import pytest_xdist_make_scheduler
from tests.support.group_end import end_group, until_the_group_ends
from tests.support.ports import start_again_on_a_taken_port
from tests.support.routes import ROUTES
from tests.support.stack import ROOT, Stack, bring_up, lane, prepare, project_name, take_down
from tests.support.sweep import remember

__all__ = ["pytest_xdist_make_scheduler"]

# These variables set the terminal's width and colours. A test sets them itself, so every user gets the same output.
SHOWN = (
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "PY_COLORS",
    "TTY_COMPATIBLE",
    "TTY_INTERACTIVE",
    "GITHUB_ACTIONS",
)

# The same examples in each run of the same tests, however fast the machine: what somebody else's run finds, this one
# would find as well. (Hypothesis draws on constants of the modules that are loaded: a part of the tests has others.)
settings.register_profile(
    "steady", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


# The group of the test that runs, for fixtures of session scope, which belong to no test.
_GROUP = pytest.StashKey[str]()


def pytest_sessionstart(session: pytest.Session) -> None:
    for name in SHOWN:
        os.environ.pop(name, None)
    start_again_on_a_taken_port()
    if not session.config.option.collectonly:
        remember(SESSION_ID)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one process the stack's tests run last, so that it stands no longer than it must; with lanes they begin first,
    because they take longest."""
    lanes = hasattr(config, "workerinput")
    for item in items:
        if group(item.path) in (STACK, REQUESTS):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.stack)
    # Python's sort keeps the order of equal items. The stack changes its route once, between two passes.
    items.sort(key=lambda item: (turn(item.path) if lanes else 0, within_the_stack(item.path), pass_of(item)))


def pass_of(item: pytest.Item) -> int:
    """In tests/clients, the place of the item's route among all routes."""
    if group(item.path) != REQUESTS or not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return 0
    route = item.callspec.params.get("route")
    return ROUTES.index(route) if route in ROUTES else 0


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    item.session.stash[_GROUP] = group(item.path)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test of a group. In one process both groups on the stack share it."""
    groups = {group(item.path), group(nextitem.path)} if nextitem is not None else set()
    if len(groups) > 1 and not groups <= {STACK, REQUESTS}:
        end_group()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, replicas: int) -> Iterator[Stack]:
    with until_the_group_ends(_stack(tmp_path_factory.mktemp("stack") / "home", replicas)) as stack:
        yield stack


@pytest.fixture(scope="session")
def replicas(request: pytest.FixtureRequest) -> int:
    """Three, as shipped. Two where a lane is for tests that replace them all again and again: each start takes eight
    seconds of a processor."""
    in_a_lane = hasattr(request.config, "workerinput")
    return 2 if in_a_lane and request.session.stash[_GROUP] == STACK else 3


@contextmanager
def _stack(home: Path, replicas: int) -> Iterator[Stack]:
    stack = prepare(home, project_name(lane()), replicas=replicas)
    try:
        bring_up(stack)
        yield stack
    finally:
        take_down(stack, ROOT / "var" / "logs" / f"stack-test{lane()}")
