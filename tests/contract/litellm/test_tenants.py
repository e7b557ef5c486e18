"""What a tenant meets at a real LiteLLM: spend that is kept, removal that holds, and what its key may call."""

from __future__ import annotations

from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import ACME, FRUGAL, GONE, NONE, Tenants, key_of, wanted
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker


def test_spend_and_windows_outlive_every_update(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(FRUGAL))
    for _ in range(3):
        assert gateway.ask(key_of("frugal")).status_code == 200
    spent = eventually(lambda: written(gateway), within=60, every=0.5)
    # A time LiteLLM would not choose, so that a budget sent again, which moves its reset, cannot pass unseen.
    resets = gateway.sql(
        """UPDATE "LiteLLM_TeamTable"
              SET budget_reset_at = date_trunc('second', now()) + interval '3 hours',
                  budget_limits = jsonb_set(budget_limits, '{0,reset_at}', to_jsonb(now() + interval '3 hours'))
            WHERE team_id = 'frugal' RETURNING budget_reset_at, budget_limits->0->>'reset_at'"""
    )

    tenants.apply(
        wanted(FRUGAL.replace("minute: 60", "minute: 61").replace("monthly_limit: 100", "monthly_limit: 200"))
    )
    assert (written(gateway), reset_times(gateway)) == (spent, resets)

    # Less than what is spent: were the spend forgotten anywhere, this would pass.
    tenants.apply(wanted(FRUGAL.replace("daily_limit: 5", "daily_limit: 0.0001")))
    refused = gateway.ask(key_of("frugal"))
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "budget_exceeded")
    assert written(gateway) == spent


def written(gateway: Gateway) -> tuple[float, float, float] | None:
    """What team, key and day have spent according to the database, once all three calls are in."""
    spent = gateway.sql(
        """SELECT (SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = 'frugal'),
                  (SELECT spend FROM "LiteLLM_VerificationToken" WHERE team_id = 'frugal'),
                  (SELECT sum(spend) FROM "LiteLLM_BudgetWindowSpend" WHERE entity_id = 'frugal'),
                  (SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE team_id = 'frugal')"""
    )
    team, key, window, logged = spent[0]
    return (team, key, window) if logged == 3 and window and team == pytest.approx(window) else None


def reset_times(gateway: Gateway) -> Any:
    return gateway.sql(
        """SELECT budget_reset_at, budget_limits->0->>'reset_at' FROM "LiteLLM_TeamTable" WHERE team_id = 'frugal'"""
    )


def test_a_removed_tenant_is_refused_and_comes_back_with_its_file(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(ACME))
    assert gateway.ask(key_of("acme")).status_code == 200

    tenants.apply(NONE)
    assert gateway.ask(key_of("acme")).status_code == 401
    assert tenants.plan(NONE).empty

    tenants.apply(wanted(ACME))
    assert gateway.ask(key_of("acme")).status_code == 200
    assert tenants.plan(wanted(ACME)).empty


def test_a_deleted_tenant_is_gone_and_its_ledger_stays(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(GONE))
    assert gateway.ask(key_of("gone")).status_code == 200
    count = "SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE team_id = 'gone'"
    eventually(lambda: gateway.sql(count) == [(1,)], within=60)

    tenants.apply(NONE, allow_delete=True)

    assert tenants.provider.observe() == NONE
    assert gateway.ask(key_of("gone")).status_code == 401
    assert gateway.sql(count) == [(1,)]


def test_a_tenants_key_calls_its_models_and_nothing_that_administrates(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(ACME))

    assert gateway.ask(key_of("acme"), "/v1/chat/completions").status_code == 200
    assert gateway.ask(key_of("acme"), model="another-model").status_code == 403
    assert gateway.get(key_of("acme"), "/v1/models").status_code == 200
    for path in ("/key/info", "/team/list", "/model/info", "/v1/mcp/server", "/spend/logs"):
        assert gateway.get(key_of("acme"), path).status_code == 403, path


def test_requests_per_minute_hold_for_the_team(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted("tenant: {id: hasty}\nrate_limits: {requests_per_minute: 3}"))

    assert [gateway.ask(key_of("hasty")).status_code for _ in range(4)] == [200, 200, 200, 429]
