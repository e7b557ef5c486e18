"""The shared stack as a tenant and an operator see it; after each test its logs are read for crashes and secrets."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from tests.support import logs, plain
from tests.support.routes import ROUTES, take
from tests.support.stack import Stack


@pytest.fixture(scope="module", autouse=True)
def default_route(stack: Stack) -> None:
    """In one process tests/clients comes between, and leaves the stack on LiteLLM's route."""
    take(stack, ROUTES[0])


@pytest.fixture
def gateway_processes(stack: Stack) -> None:
    """For what gateway processes alone answer; contract/nginx tests what nginx answers without them."""
    if not stack.deployment.settings.gateways:
        pytest.skip("this stack has no gateway processes")


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
    with plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client:
        yield client


@pytest.fixture
def admin(stack: Stack) -> Iterator[httpx.Client]:
    """The admin listener with the master key."""
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    with plain.Client(base_url=stack.admin_url, headers=headers, timeout=60, trust_env=False) as client:
        yield client
