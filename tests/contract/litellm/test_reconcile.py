"""Tenants as code against a real LiteLLM: what is applied is what is there, and nothing else is touched."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.config.tenants import parse
from tollgate.errors import TollgateError
from tollgate.litellm import provider as provider_module
from tollgate.litellm.fields import team_fields
from tollgate.litellm.provider import Provider
from tollgate.litellm.state import Key, Limits, State, Team
from tollgate.reconcile.apply import Outcome, apply
from tollgate.reconcile.desired import desired, key_hash
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan

pytestmark = pytest.mark.docker

ACME = """
tenant: {id: acme, name: Acme}
allowed_models: [test-model]
budget: {daily_limit: 5, monthly_limit: 100}
rate_limits: {requests_per_minute: 60, tokens_per_minute: 1000000}
"""
BETA = "tenant: {id: beta}"
NONE = State()


def key_of(tenant: str) -> Secret:
    return Secret(f"sk-{tenant}-0123456789abcdef0123456789abcdef")


def wanted(*files: str) -> State:
    tenants = [parse(text, Path("tenants/x.yaml")) for text in files]
    return desired(tenants, {tenant.id: key_of(tenant.id) for tenant in tenants})


@dataclass
class Tenants:
    """Plan and apply against the gateway, as the command line does."""

    gateway: Gateway
    provider: Provider = field(init=False)

    def __post_init__(self) -> None:
        secrets = [key_of(name) for name in ("acme", "beta", "hasty")]
        self.provider = Provider(self.gateway.client, {key_hash(secret): secret for secret in secrets})

    def plan(self, state: State, *, allow_delete: bool = False) -> Plan:
        return diff(state, self.provider.observe(), allow_delete=allow_delete)

    def apply(self, state: State, *, allow_delete: bool = False) -> Outcome:
        outcome = apply(self.plan(state, allow_delete=allow_delete), self.provider)
        if outcome.error:
            raise outcome.error
        return outcome

    def rows(self) -> list[Any]:
        """Every team and key as the database has them, times of change and of reset included."""
        return [
            self.gateway.sql('SELECT to_jsonb(t) FROM "LiteLLM_TeamTable" t ORDER BY team_id'),
            self.gateway.sql('SELECT to_jsonb(k) FROM "LiteLLM_VerificationToken" k ORDER BY token'),
        ]


@pytest.fixture
def tenants(gateway: Gateway) -> Tenants:
    return Tenants(gateway)


def test_a_plan_after_an_apply_is_empty(tenants: Tenants) -> None:
    state = wanted(ACME, BETA)

    outcome = tenants.apply(state)

    assert outcome.applied == 4
    assert tenants.plan(state) == Plan()
    assert tenants.provider.observe() == state


@pytest.mark.parametrize(
    "change",
    [
        ("daily_limit: 5", "daily_limit: 7"),
        ("monthly_limit: 100", "monthly_limit: 300"),
        ("{daily_limit: 5, monthly_limit: 100}", "{daily_limit: 5}"),
        ("{daily_limit: 5, monthly_limit: 100}", "{monthly_limit: 100}"),
        ("requests_per_minute: 60", "requests_per_minute: 61"),
        ("rate_limits: {requests_per_minute: 60, tokens_per_minute: 1000000}", ""),
        ("allowed_models: [test-model]", ""),
        ("name: Acme", "name: Acme & Söhne"),
    ],
)
def test_each_field_can_change_and_change_back(tenants: Tenants, change: tuple[str, str]) -> None:
    before, after = wanted(ACME), wanted(ACME.replace(*change))
    assert before != after
    for state in (before, after, before):
        tenants.apply(state)
        assert tenants.plan(state).empty


def test_applying_twice_is_applying_once(tenants: Tenants) -> None:
    tenants.apply(wanted(ACME, BETA))
    rows = tenants.rows()

    assert tenants.apply(wanted(ACME, BETA)).applied == 0
    assert tenants.rows() == rows


def test_an_apply_cut_off_anywhere_is_finished_by_the_next(tenants: Tenants, gateway: Gateway) -> None:
    state = wanted(ACME, BETA)
    for done in range(4):
        cut_off = CutOff(tenants.provider, after=done)
        with pytest.raises(KeyboardInterrupt):
            apply(tenants.plan(state), cut_off)

        assert tenants.apply(state).applied == 4 - done
        assert tenants.plan(state).empty
        tenants.apply(NONE, allow_delete=True)


@dataclass
class CutOff:
    """A provider during whose work somebody presses Ctrl-C."""

    provider: Provider
    after: int

    def apply_change(self, before: Team | Key | None, after: Team | Key | None) -> None:
        if self.after == 0:
            raise KeyboardInterrupt
        self.after -= 1
        self.provider.apply_change(before, after)


def test_what_is_not_ours_is_left_as_it_is(tenants: Tenants, gateway: Gateway) -> None:
    gateway.client.create_team(
        {"team_id": "theirs", "models": ["test-model"], "max_budget": 3, "budget_duration": "1d"}
    )
    gateway.client.create_key(key_of("theirs"), {"team_id": "theirs", "key_alias": "theirs", "rpm_limit": 5})
    gateway.client.create_key(key_of("lonely"), {"metadata": {"managed_by": "terraform"}})
    rows = tenants.rows()

    tenants.apply(wanted(ACME))
    plan = tenants.plan(wanted(ACME))
    tenants.apply(NONE, allow_delete=True)

    assert plan.empty and (plan.unmanaged_teams, plan.unmanaged_keys) == (1, 2)
    assert tenants.rows() == rows


def test_a_team_or_key_that_somebody_else_made_is_refused(tenants: Tenants, gateway: Gateway) -> None:
    gateway.client.create_team({"team_id": "acme"})
    gateway.client.create_key(key_of("beta"), {})
    rows = tenants.rows()

    with pytest.raises(TollgateError, match="team acme: LiteLLM has a team of this id that Tollgate did not make"):
        tenants.apply(wanted(ACME))
    with pytest.raises(TollgateError, match="LiteLLM has this key already, and Tollgate did not make it"):
        tenants.apply(wanted(BETA))
    assert tenants.rows() == rows


def test_a_change_made_by_hand_is_planned_back(tenants: Tenants, gateway: Gateway) -> None:
    state = wanted(ACME)
    tenants.apply(state)
    gateway.client.update_team("acme", {"rpm_limit": 9999, "blocked": True})
    (key,) = state.keys
    gateway.client.update_key(key, {"models": [], "allowed_routes": [], "max_budget": 1})

    assert {(change.kind, str(change.action)) for change in tenants.plan(state).changes} == {
        ("team", "update"),
        ("key", "update"),
    }
    tenants.apply(state)
    assert tenants.provider.observe() == state


# ---- spend and windows


def test_spend_and_windows_outlive_every_update(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(ACME))
    for _ in range(3):
        assert gateway.ask(key_of("acme")).status_code == 200
    spent = eventually(lambda: written(gateway), within=60, every=0.5)
    # A time LiteLLM would not choose, so that a budget sent again, which moves its reset, cannot pass unseen.
    resets = gateway.sql(
        """UPDATE "LiteLLM_TeamTable"
              SET budget_reset_at = date_trunc('second', now()) + interval '3 hours',
                  budget_limits = jsonb_set(budget_limits, '{0,reset_at}', to_jsonb(now() + interval '3 hours'))
            WHERE team_id = 'acme' RETURNING budget_reset_at, budget_limits->0->>'reset_at'"""
    )

    tenants.apply(wanted(ACME.replace("minute: 60", "minute: 61").replace("monthly_limit: 100", "monthly_limit: 200")))
    assert (written(gateway), reset_times(gateway)) == (spent, resets)

    # Less than what is spent: were the spend forgotten anywhere, this would pass.
    tenants.apply(wanted(ACME.replace("daily_limit: 5", "daily_limit: 0.0001")))
    refused = gateway.ask(key_of("acme"))
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "budget_exceeded")
    assert written(gateway) == spent


def written(gateway: Gateway) -> tuple[float, float, float] | None:
    """What team, key and day have spent according to the database, once all three calls are in."""
    spent = gateway.sql(
        """SELECT (SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = 'acme'),
                  (SELECT spend FROM "LiteLLM_VerificationToken" WHERE team_id = 'acme'),
                  (SELECT sum(spend) FROM "LiteLLM_BudgetWindowSpend" WHERE entity_id = 'acme'),
                  (SELECT count(*) FROM "LiteLLM_SpendLogs" WHERE team_id = 'acme')"""
    )
    team, key, window, logged = spent[0]
    return (team, key, window) if logged == 3 and window and team == pytest.approx(window) else None


def reset_times(gateway: Gateway) -> Any:
    return gateway.sql(
        """SELECT budget_reset_at, budget_limits->0->>'reset_at' FROM "LiteLLM_TeamTable" WHERE team_id = 'acme'"""
    )


# ---- removal


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
    tenants.apply(wanted(ACME))
    gateway.ask(key_of("acme"))
    count = "SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE team_id = 'acme'"
    logged = eventually(lambda: gateway.sql(count)[0][0], within=60)

    tenants.apply(NONE, allow_delete=True)

    assert tenants.provider.observe() == NONE
    assert gateway.ask(key_of("acme")).status_code == 401
    assert gateway.sql(count)[0][0] == logged


# ---- what a tenant may


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


# ---- what LiteLLM does not say


def test_a_field_litellm_does_not_know_is_caught(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    def misspelt(team: Team) -> dict[str, Any]:
        fields = team_fields(team)
        return {"rpm_limits" if name == "rpm_limit" else name: value for name, value in fields.items()}

    monkeypatch.setattr(provider_module, "team_fields", misspelt)

    with pytest.raises(TollgateError, match="team acme: LiteLLM accepted the change and did not make it: limits is"):
        tenants.apply(wanted(ACME))


def test_litellm_still_answers_200_to_a_key_that_exists_and_changes_nothing(gateway: Gateway) -> None:
    """Why a key is looked up before it is created. Should this fail, that can go from provider.py."""
    gateway.client.create_key(key_of("acme"), {"rpm_limit": 1})
    gateway.client.create_key(key_of("acme"), {"rpm_limit": 2})

    row = gateway.client.find_key(key_hash(key_of("acme")))

    assert row and row["rpm_limit"] == 1


@pytest.mark.parametrize("size", [1, 2, 3])
def test_lists_are_complete_at_any_page_size(
    tenants: Tenants, gateway: Gateway, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for number in range(5):
        gateway.client.create_team({"team_id": f"t{number}"})
        gateway.client.create_key(Secret(f"sk-{number}-0123456789abcdef"), {"team_id": f"t{number}"})
    monkeypatch.setattr("tollgate.litellm.client.PAGE", size)

    state = tenants.provider.observe()

    assert state.unmanaged_teams == {f"t{number}" for number in range(5)}
    assert len(state.unmanaged_keys) == 5


def test_a_wrong_master_key_is_refused_without_showing_it(gateway: Gateway) -> None:
    with (
        Gateway(gateway.url, key_of("stranger"), gateway.database) as stranger,
        pytest.raises(TollgateError) as refused,
    ):
        list(stranger.client.list_teams())

    assert refused.value.message.startswith("LiteLLM: GET /v2/team/list: 401: ")
    assert key_of("stranger").reveal() not in str(refused.value)


def test_limits_we_do_not_set_are_none(tenants: Tenants) -> None:
    tenants.apply(wanted(BETA))

    assert tenants.provider.observe().teams["beta"].limits == Limits()
