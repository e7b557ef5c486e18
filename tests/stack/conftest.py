"""One stack for the whole folder; after each test its logs are read for crashes and secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from tests.support import logs
from tests.support.stack import ROOT, Stack, bring_up, prepare, project_name, take_down


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/stack" in str(item.path):
            item.add_marker(pytest.mark.docker)
            item.add_marker(pytest.mark.stack)
    # It takes containers down: what only reads comes before it.
    last = ["test_contract.py", "test_rollout.py", "test_lifecycle.py"]
    stack = [item for item in items if "tests/stack" in str(item.path)]
    stack.sort(key=lambda item: last.index(item.path.name) if item.path.name in last else -1)
    items[:] = [item for item in items if item not in stack] + stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    stack = prepare(tmp_path_factory.mktemp("stack") / "home", project_name())
    try:
        bring_up(stack)
        yield stack
    finally:
        take_down(stack, ROOT / "var" / "logs" / "stack-test")


@pytest.fixture
def allow_in_logs() -> list[str]:
    """Regular expressions for lines that a test provokes on purpose; a test that asks for this fixture appends."""
    return []


@pytest.fixture(autouse=True)
def clean_logs(stack: Stack, allow_in_logs: list[str]) -> Iterator[None]:
    began = datetime.now(UTC).isoformat()
    yield
    lines = logs.since(stack.compose, began)
    assert not logs.trouble(lines, allow_in_logs), "the containers logged a crash"
    assert not logs.leaks("\n".join(lines), stack.secret_values()), "a secret stands in the logs"


@pytest.fixture
def gateway(stack: Stack) -> Iterator[httpx.Client]:
    """The public listener as the example tenant sees it."""
    headers = {"Authorization": f"Bearer {stack.key('example')}", "anthropic-version": "2023-06-01"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    """The admin listener with the master key."""
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    with httpx.Client(base_url=stack.admin_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client
