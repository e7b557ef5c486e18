"""The session's LiteLLM, empty before each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.litellm.gateway import Gateway, running_gateway
from tests.contract.litellm.tenants import Tenants


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """Without any team or key, ours or not."""
    for key in list(running.client.list_keys()):
        running.client.delete_key(key["token"])
    for team in list(running.client.list_teams()):
        running.client.delete_team(team["team_id"])
    return running


@pytest.fixture
def tenants(gateway: Gateway) -> Tenants:
    return Tenants(gateway)
