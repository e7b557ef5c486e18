"""What a tenant meets at a real LiteLLM: spend that is kept, removal that holds, and what its key may call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import ACME, FRUGAL, GONE, NONE, Tenants, key_of, wanted
from tests.support.eventually import eventually
from tollgate.errors import TollgateError
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker


def test_spend_and_windows_outlive_every_update(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(FRUGAL))
    assert gateway.ask(key_of("frugal")).status_code == 200
    # Alone until it is booked: a day that LiteLLM begins to count while calls come in may have one of them twice, for
    # good, from its log and then itself. What comes to a day that is there it adds once.
    eventually(lambda: written(gateway, calls=1), within=60, every=0.5)
    for _ in range(2):
        assert gateway.ask(key_of("frugal")).status_code == 200
    spent = eventually(lambda: written(gateway, calls=3), within=60, every=0.5)
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
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "billing_error")
    assert written(gateway) == spent


def written(gateway: Gateway, calls: int = 3) -> tuple[float, float, float] | None:
    """What team, key and day have spent according to the database, once each has exactly these calls: LiteLLM writes
    the log by itself, and every few seconds the key's spend, then the team's, the day's last."""
    spent = gateway.sql(
        """SELECT (SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = 'frugal'),
                  (SELECT spend FROM "LiteLLM_VerificationToken" WHERE team_id = 'frugal'),
                  (SELECT sum(spend) FROM "LiteLLM_BudgetWindowSpend" WHERE entity_id = 'frugal'),
                  count(*), sum(spend)
             FROM "LiteLLM_SpendLogs" WHERE team_id = 'frugal' AND status = 'success'"""
    )
    team, key, window, logged, due = spent[0]
    booked = all((amount or 0) == pytest.approx(due or 1, rel=1e-6) for amount in (team, key, window))
    return (team, key, window) if logged == calls and booked else None


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


# ---- suspended, expired, rotated


def test_a_suspended_tenant_is_refused_at_once_and_goes_on_when_it_is_over(tenants: Tenants, gateway: Gateway) -> None:
    keys = (key_of("held"), key_of("held", "ci"))
    held = "tenant: {id: held}\nkeys: [{name: ci}]\n"
    tenants.apply(wanted(held))
    assert [gateway.ask(key).status_code for key in keys] == [200, 200]

    tenants.apply(wanted(held + "suspended: true\n"))
    assert [gateway.ask(key).status_code for key in keys] == [401, 401]

    tenants.apply(wanted(held))
    assert [gateway.ask(key).status_code for key in keys] == [200, 200]


def test_twin_a_blocked_key_is_what_refuses(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted("tenant: {id: held}\nkeys: [{name: ci}]\n"))
    gateway.client.block_key(key_hash(key_of("held", "ci")))

    assert [gateway.ask(key_of("held", name)).status_code for name in ("default", "ci")] == [200, 401]


def test_a_key_ends_when_its_file_says(tenants: Tenants, gateway: Gateway) -> None:
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


def test_a_rotated_key_works_for_its_grace_and_is_cleaned_up_after_it(tenants: Tenants, gateway: Gateway) -> None:
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


@pytest.fixture
def nothing_reopens(running: Gateway) -> Iterator[None]:
    """LiteLLM looks for windows that have ended every minute, one replica at a time: here it is never this one's turn.
    Its words are JSON."""
    lock = "cronjob_lock:reset_budget_job"
    eventually(lambda: running.redis("SET", lock, '"another-replica"', "NX", "EX", "300") == "True", within=60)
    yield
    running.redis("DEL", lock)


def test_a_new_amount_waits_until_an_ended_window_is_reopened(
    tenants: Tenants, gateway: Gateway, nothing_reopens: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteLLM gives every window it is sent its next reset: the one that is due would never come."""
    tenants.apply(wanted(ACME))
    gateway.sql(
        """UPDATE "LiteLLM_TeamTable"
              SET budget_limits = jsonb_set(budget_limits, '{0,reset_at}', to_jsonb(now() - interval '1 minute'))
            WHERE team_id = 'acme' RETURNING 1"""
    )
    monkeypatch.setattr("tollgate.litellm.provider.RESET_WITHIN_S", 0)
    monkeypatch.setattr("tollgate.litellm.provider.RESET_POLL_S", 0.1)

    with pytest.raises(TollgateError, match="a budget window has ended and LiteLLM has not reopened it"):
        tenants.apply(wanted(ACME.replace("daily_limit: 5", "daily_limit: 6")))
    tenants.apply(wanted(ACME.replace("requests_per_minute: 60", "requests_per_minute: 61")))
