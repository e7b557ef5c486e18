"""For every test session: remember it, so that what it starts can be found if it is killed; and mind Docker's ports.

And the one stack that tests/docs, tests/clients and tests/stack share.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from testcontainers.core.labels import SESSION_ID

from tests.support.ports import start_again_on_a_taken_port
from tests.support.stack import ROOT, Stack, bring_up, prepare, project_name, take_down
from tests.support.sweep import remember

# Last of all, so that the stack stands no longer than it must; and within it, what takes containers down.
ON_THE_STACK = ("tests/docs/", "tests/clients/", "tests/stack/")
LAST = ("test_contract.py", "test_rotation.py", "test_backup.py", "test_rollout.py", "test_lifecycle.py")

# What decides how wide a terminal is and whether it has colours: a test says so itself, whoever runs it.
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


def pytest_sessionstart(session: pytest.Session) -> None:
    for name in SHOWN:
        os.environ.pop(name, None)
    start_again_on_a_taken_port()
    if not session.config.option.collectonly:
        remember(SESSION_ID)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {}
    for item in items:
        folder = next((place for place, name in enumerate(ON_THE_STACK) if name in item.path.as_posix()), None)
        if folder is not None:
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.stack)
            order[item] = (folder, LAST.index(item.path.name) if item.path.name in LAST else -1)
    # Python's sort keeps the order of what is equal.
    items.sort(key=lambda item: order.get(item, (-1, -1)))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = prepare(tmp_path_factory.mktemp("stack") / "home", project_name())
    try:
        bring_up(stack)
        yield stack
    finally:
        take_down(stack, ROOT / "var" / "logs" / "stack-test")
