"""Gateway processes before real LiteLLM replicas, with PostgreSQL, Redis and the embedded provider."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.contract.litellm.gateway import Gateway, gateway_for_tests, running_gateway
from tests.contract.litellm.tenants import Tenants
from tests.support.group_end import until_the_group_ends


def models() -> str:
    """The tests' models, one that only LiteLLM serves, and free ones. A broken one falls back to a paid model.

    `auto` is the cheaper of two models, which cannot see images, or the other one. `mixed` has a candidate that only
    LiteLLM serves.
    """
    gateway = yaml.safe_load(gateway_for_tests())
    paid, dead = gateway["models"]["test-model"], gateway["models"]["dead-model"]
    gateway["models"] |= {
        "by-litellm": {**paid, "route": "litellm"},
        "free-model": {**paid, "price": "free"},
        "free-broken": dead,
        "free-broken-by-litellm": {**dead, "route": "litellm"},
        "blind-model": {**paid, "vision": False, "price": {"input_per_million": 0.1, "output_per_million": 0.1}},
    }
    gateway["cheapest"] = {
        "auto": {"models": ["test-model", "blind-model"], "max_cost": 1},
        "mixed": {"models": ["by-litellm", "blind-model"]},
    }
    gateway.setdefault("fallbacks", {}).update(
        {"free-broken": ["test-model"], "free-broken-by-litellm": ["test-model"]}
    )
    return str(yaml.safe_dump(gateway, sort_keys=False))


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    directory = tmp_path_factory.mktemp("gateway")
    started = running_gateway(directory, replicas=2, gateway_yaml=models(), processes=3)
    with until_the_group_ends(started) as gateway:
        yield gateway


@pytest.fixture
def tenants(running: Gateway) -> Tenants:
    for key in list(running.client.list_keys()):
        running.client.delete_key(key["token"])
    for team in list(running.client.list_teams()):
        running.client.delete_team(team["team_id"])
    return Tenants(running)


@pytest.fixture(autouse=True)
def _logs(running: Gateway) -> Iterator[None]:
    """Shows the logs of the gateway processes if a test fails."""
    yield
    for name, container in running.containers.items():
        if name.startswith("gateway-"):
            out, err = container.get_logs()
            print(f"{name}: {(out + err).decode()[-3000:]}")
