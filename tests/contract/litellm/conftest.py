"""The session's LiteLLM, empty before each test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway, gateway_for_tests, running_gateway
from tests.contract.litellm.tenants import Tenants
from tests.support.clock import until_the_hour_has_left
from tests.support.group_end import until_the_group_ends
from tollgate.config.secret import Secret


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    started = running_gateway(tmp_path_factory.mktemp("gateway"), gateway_yaml=gateway_for_tests())
    with until_the_group_ends(started) as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _one_window() -> None:
    """If an hourly limit or a daily budget reopened during a test, it would count from zero again."""
    until_the_hour_has_left(120)


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """The gateway without any team or key, ours or not."""
    for key in list(running.client.list_keys()):
        running.client.delete_key(key["token"])
    for team in list(running.client.list_teams()):
        running.client.delete_team(team["team_id"])
    return running


@pytest.fixture
def tenants(gateway: Gateway) -> Tenants:
    return Tenants(gateway)


@pytest.fixture
def handmade(running: Gateway) -> Callable[..., Secret]:
    """Creates a tenant with a unique name, LiteLLM's fields and the limits of our hooks. Returns its key.

    By hand and not by `apply`, so that one test needs one limit only.
    """

    def make(
        team: dict[str, Any] | None = None,
        key: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        key_limits: dict[str, Any] | None = None,
    ) -> Secret:
        name = f"t{uuid.uuid4().hex[:8]}"
        secret = Secret(f"sk-{name}-{uuid.uuid4().hex}")
        metadata = {"owner": "lead@example.com", "limits": limits or {}}
        running.client.create_team({"team_id": name, "models": ["test-model"], "metadata": metadata, **(team or {})})
        metadata = {"name": "alice", "limits": key_limits or {}}
        fields = {"team_id": name, "key_alias": f"{name}/alice/1", "models": ["all-team-models"], "metadata": metadata}
        running.client.create_key(secret, {**fields, **(key or {})})
        return secret

    return make
