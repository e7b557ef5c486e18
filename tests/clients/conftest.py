"""A developer at their machine: Claude Code, an HTTP client, and what reached the upstream.

Everything here runs on the direct route first. Then the stack changes its route, and the tests that are marked with
`on_both_routes` run again on LiteLLM's: those whose requests another program would serve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import logs, plain
from tests.support.claude_code import ClaudeCode
from tests.support.eventually import eventually
from tests.support.routes import ROUTES, Switched, take
from tests.support.stack import Stack

Recorded = Callable[[str], list[dict[str, Any]]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    both = metafunc.definition.get_closest_marker("on_both_routes")
    metafunc.parametrize("route", ROUTES if both else ROUTES[:1], indirect=True, scope="session")


@pytest.fixture(scope="session")
def switches() -> list[Switched]:
    """The changes of route so far."""
    return []


@pytest.fixture(scope="session", autouse=True)
def route(request: pytest.FixtureRequest, stack: Stack, switches: list[Switched]) -> str:
    """The route that serves requests, unless a model has its own."""
    if switched := take(stack, request.param):
        switches.append(switched)
    return str(request.param)


@pytest.fixture
def claude(stack: Stack, tmp_path: Path) -> ClaudeCode:
    settings = {
        "ANTHROPIC_BASE_URL": stack.url,
        "ANTHROPIC_AUTH_TOKEN": stack.key("developer"),
        "ANTHROPIC_MODEL": "test-model",
    }
    return ClaudeCode(stack, tmp_path, settings)


@pytest.fixture
def developer(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {stack.key('developer')}", "anthropic-version": "2023-06-01"}
    with plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    with plain.Client(base_url=stack.admin_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def recorded(stack: Stack) -> Recorded:
    """The finished requests whose body holds a word, as the embedded provider received them."""

    def find(word: str) -> list[dict[str, Any]]:
        def ended() -> list[dict[str, Any]] | None:
            rows = [row for row in stack.provider_requests() if word in str(row["body"])]
            return rows if rows and all(row["ended"] for row in rows) else None

        return eventually(ended, within=20)

    return find


@pytest.fixture(scope="module", autouse=True)
def clean_logs(stack: Stack) -> Iterator[None]:
    """After each file: no container logged a crash or a secret. A fault that a test asked for is not a crash."""
    began = datetime.now(UTC).isoformat()
    yield
    lines = logs.since(stack.compose, began)
    assert not logs.trouble(lines, [logs.UPSTREAM_FAULTS, logs.CLIENTS_FAULTS]), "the containers logged a crash"
    assert not logs.leaks("\n".join(lines), stack.secret_values()), "a secret stands in the logs"
