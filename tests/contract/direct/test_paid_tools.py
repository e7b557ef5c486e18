"""A tool that the provider runs and that has no price: both routes refuse it with the same words."""

from __future__ import annotations

import pytest

from tests.contract.direct.asking import ask
from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted

pytestmark = pytest.mark.docker

SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
BASH = {"type": "bash_20250124", "name": "bash"}


@pytest.mark.parametrize("model", ["test-model", "another-name"])
def test_both_routes_refuse_a_tool_without_a_price(running: Gateway, tenants: Tenants, model: str) -> None:
    tenants.apply(wanted("tenant: {id: payer}"))
    key = key_of("payer")
    answers = [ask(running, key, model=model, tools=[SEARCH]), running.ask(key, model=model, tools=[SEARCH])]
    assert [answer.status_code for answer in answers] == [400, 400], [answer.text for answer in answers]
    assert answers[0].json()["error"] == answers[1].json()["error"]
    assert "no price for web_search" in answers[0].json()["error"]["message"]


def test_twin_a_tool_that_the_client_runs_passes_on_both(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: payer}"))
    key = key_of("payer")
    assert [ask(running, key, tools=[BASH]).status_code, running.ask(key, tools=[BASH]).status_code] == [200, 200]


def test_twin_a_free_model_needs_no_price(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: payer}"))
    assert ask(running, key_of("payer"), model="free-model", tools=[SEARCH]).status_code == 200
