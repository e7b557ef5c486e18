"""Tenants with a real LiteLLM: their spend is kept, removal works, and their keys call only allowed routes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import ACME, FRUGAL, GONE, NONE, Tenants, key_of, wanted
from tests.support.clock import until_the_minute_has_left
from tests.support.eventually import eventually
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker


def test_spend_stays_after_every_update(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(FRUGAL))
    for _ in range(3):
        assert gateway.ask(key_of("frugal")).status_code == 200
    spent = eventually(lambda: written(gateway), within=60, every=0.5)

    tenants.apply(
        wanted(FRUGAL.replace("minute: 60", "minute: 61").replace("monthly_limit: 100", "monthly_limit: 200"))
    )
    assert written(gateway) == spent

    # Less than the spend: if the spend were lost anywhere, this request would pass.
    tenants.apply(wanted(FRUGAL.replace("daily_limit: 5", "daily_limit: 0.0001")))
    refused = gateway.ask(key_of("frugal"))
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "billing_error")
    assert written(gateway) == spent


def written(gateway: Gateway, calls: int = 3) -> tuple[float, float, float] | None:
    """The spend of team, key and day in the database, if each has exactly these calls; else None.

    LiteLLM writes the log first, and every few seconds the key's spend, then the team's, then the day's.
    """
    spent = gateway.sql(
        """SELECT (SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = 'frugal'),
                  (SELECT spend FROM "LiteLLM_VerificationToken" WHERE team_id = 'frugal'),
                  (SELECT sum(spend) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = 'frugal'),
                  count(*), sum(spend)
             FROM "LiteLLM_SpendLogs" WHERE team_id = 'frugal' AND status = 'success'"""
    )
    team, key, day, logged, due = spent[0]
    booked = all((amount or 0) == pytest.approx(due or 1, rel=1e-6) for amount in (team, key, day))
    return (team, key, day) if logged == calls and booked else None


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


def test_a_tenants_key_calls_its_models_and_no_management_route(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(ACME))

    assert gateway.ask(key_of("acme"), "/v1/chat/completions").status_code == 200
    assert gateway.ask(key_of("acme"), model="another-model").status_code == 403
    assert gateway.get(key_of("acme"), "/v1/models").status_code == 200
    for path in ("/key/info", "/team/list", "/model/info", "/v1/mcp/server", "/spend/logs"):
        assert gateway.get(key_of("acme"), path).status_code == 403, path


def test_requests_per_minute_hold_for_the_team(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted("tenant: {id: hasty}\nrate_limits: {requests_per_minute: 3}"))
    until_the_minute_has_left()

    assert [gateway.ask(key_of("hasty")).status_code for _ in range(4)] == [200, 200, 200, 429]


# ---- suspended, expired, rotated


def test_a_suspended_tenant_is_refused_until_it_is_resumed(tenants: Tenants, gateway: Gateway) -> None:
    keys = (key_of("held"), key_of("held", "ci"))
    held = "tenant: {id: held}\nkeys: [{name: ci}]\n"
    tenants.apply(wanted(held))
    assert [gateway.ask(key).status_code for key in keys] == [200, 200]

    tenants.apply(wanted(held + "suspended: true\n"))
    assert [gateway.ask(key).status_code for key in keys] == [401, 401]

    tenants.apply(wanted(held))
    assert [gateway.ask(key).status_code for key in keys] == [200, 200]


def test_twin_a_blocked_key_is_refused(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted("tenant: {id: held}\nkeys: [{name: ci}]\n"))
    gateway.client.block_key(key_hash(key_of("held", "ci")))

    assert [gateway.ask(key_of("held", name)).status_code for name in ("default", "ci")] == [200, 401]


def test_a_key_expires_at_the_time_in_its_file(tenants: Tenants, gateway: Gateway) -> None:
    held = "tenant: {id: held}\nkeys: [{name: ci, expires: UNTIL}]\n"
    tenants.apply(wanted(held.replace("UNTIL", "2030-01-31")))
    assert gateway.ask(key_of("held", "ci")).status_code == 200
    (ends,) = gateway.sql(
        'SELECT expires FROM "LiteLLM_VerificationToken" WHERE token = %s', key_hash(key_of("held", "ci"))
    )
    assert abs(ends[0].replace(tzinfo=UTC) - datetime(2030, 2, 1, tzinfo=UTC)) < timedelta(seconds=30)

    tenants.apply(wanted(held.replace("UNTIL", "2026-01-31")))  # in the past: it ends now
    assert gateway.ask(key_of("held", "ci")).status_code == 401
    assert gateway.ask(key_of("held")).status_code == 200
    assert tenants.plan(wanted(held.replace("UNTIL", "2026-01-31"))).empty


def test_a_rotated_key_works_for_its_grace_and_is_then_deleted(tenants: Tenants, gateway: Gateway) -> None:
    state = wanted("tenant: {id: held}")
    tenants.apply(state)
    old = replace(
        next(iter(state.keys.values())),
        id=key_hash(key_of("held", "alice")),
        alias="held/default/old",
        retiring=True,
        expires="2030-01-01T00:00Z",
    )
    tenants.provider.apply_change(None, old)

    assert tenants.plan(state, allow_delete=True).empty
    assert gateway.ask(key_of("held", "alice")).status_code == 200
    gateway.client.update_key(old.id, {"duration": "0s"})
    assert [(str(change.action), change.name) for change in tenants.plan(state).changes] == [("delete", old.alias)]
    tenants.apply(state)
    assert gateway.ask(key_of("held", "alice")).status_code == 401
    assert tenants.provider.observe() == state
