"""Tenants as code with a real LiteLLM: it stores exactly the applied state, and nothing else changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import ACME, BETA, FULL, NONE, Tenants, key_of, wanted
from tollgate.config.secret import Secret
from tollgate.errors import TollgateError
from tollgate.litellm import provider as provider_module
from tollgate.litellm.fields import key_fields, team_fields
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import Key, Limits, Team
from tollgate.reconcile.apply import apply
from tollgate.reconcile.desired import key_hash
from tollgate.reconcile.plan import Plan

pytestmark = pytest.mark.docker


def test_a_plan_after_an_apply_is_empty(tenants: Tenants) -> None:
    state = wanted(ACME, BETA, FULL)

    outcome = tenants.apply(state)

    assert len(outcome.applied) == 7
    assert tenants.plan(state) == Plan()
    assert tenants.provider.observe() == state
    assert tenants.provider.observe("full") == wanted(FULL)


@pytest.mark.parametrize(
    "change",
    [
        ("  {daily_limit: 5,", "  {daily_limit: 6,"),
        ("  {daily_limit: 5, weekly_limit: 9,", "  {weekly_limit: 9,"),
        ("weekly_limit: 9, monthly_limit: 20,", "monthly_limit: 20,"),
        ("monthly_limit: 20", "monthly_limit: 30"),
        ("daily_limit: 5, weekly_limit: 9, monthly_limit: 20, soft_limit: 9.5, ", ""),
        ("daily_limit: 2}}", "monthly_limit: 4}}"),
        (", requests_per_hour: 50, requests_per_day: 60,", ", requests_per_hour: 51,"),
        (", max_parallel_requests: 4", ""),
        ("allowed_models: [test-model, claude]", ""),
        ("Full & Söhne", r"O'Neill \\"),
        ("metadata: {centre: 4711, tags: [a, b], deep: {ü: null}}", "metadata: {centre: x}"),
        ("owner: ci@example.org", ""),
        ("expires: 2030-01-31", "expires: 2031-06-30T18:00:00+02:00"),
        ("expires: 2030-01-31", ""),
        ("    allowed_models: [test-model]", ""),
        ("    budget: {daily_limit: 1, weekly_limit: 2, monthly_limit: 3}", ""),
        ("    rate_limits: {requests_per_minute: 2,", "    rate_limits: {requests_per_hour: 2,"),
        ("metadata:", "suspended: true\nmetadata:"),
    ],
)
def test_each_field_can_change_and_change_back(tenants: Tenants, change: tuple[str, str]) -> None:
    before, after = wanted(FULL), wanted(FULL.replace(*change))
    assert before != after
    for state in (before, after, before):
        tenants.apply(state)
        assert tenants.plan(state).empty


def test_a_second_apply_changes_nothing(tenants: Tenants) -> None:
    tenants.apply(wanted(ACME, BETA))
    rows = tenants.rows()

    assert tenants.apply(wanted(ACME, BETA)).applied == ()
    assert tenants.rows() == rows


def test_the_next_apply_finishes_an_interrupted_one(tenants: Tenants, gateway: Gateway) -> None:
    state = wanted(ACME, BETA)
    for done in range(4):
        cut_off = apply(tenants.plan(state), CutOff(tenants.provider, after=done), workers=1)

        assert (cut_off.interrupted, len(cut_off.applied)) == (True, done)
        assert len(tenants.apply(state).applied) == 4 - done
        assert tenants.plan(state).empty
        tenants.apply(NONE, allow_delete=True)


@dataclass
class CutOff:
    """A provider that is interrupted by Ctrl-C after some writes."""

    provider: LiteLLMTenants
    after: int

    def write(self, before: Team | Key | None, after: Team | Key | None) -> None:
        if self.after == 0:
            raise KeyboardInterrupt
        self.after -= 1
        self.provider.write(before, after)

    def confirm(self, keys: Sequence[Key]) -> Iterator[tuple[Key, TollgateError]]:
        return self.provider.confirm(keys)


def test_objects_that_are_not_ours_are_not_changed(tenants: Tenants, gateway: Gateway) -> None:
    gateway.client.create_team(
        {"team_id": "theirs", "models": ["test-model"], "max_budget": 3, "budget_duration": "1d"}
    )
    gateway.client.create_key(key_of("theirs"), {"team_id": "theirs", "key_alias": "theirs", "rpm_limit": 5})
    gateway.client.create_key(key_of("lonely"), {"metadata": {"managed_by": "terraform"}})
    rows = tenants.rows()

    tenants.apply(wanted(ACME))
    plan = tenants.plan(wanted(ACME))
    tenants.apply(NONE, allow_delete=True)

    assert plan.empty and plan.unmanaged_teams == ("theirs",)
    assert len(plan.unmanaged_keys) == 2 and "theirs" in plan.unmanaged_keys
    assert tenants.rows() == rows


def test_a_team_with_a_key_that_is_not_ours_is_not_deleted(tenants: Tenants, gateway: Gateway) -> None:
    tenants.apply(wanted(ACME))
    gateway.client.create_key(key_of("theirs"), {"team_id": "acme", "key_alias": "theirs"})

    with pytest.raises(TollgateError, match=r"team acme: it has 1 key\(s\) that Tollgate did not make: theirs"):
        tenants.apply(NONE, allow_delete=True)
    assert gateway.client.find_key(key_hash(key_of("theirs")))

    gateway.client.delete_key(key_hash(key_of("theirs")))
    tenants.apply(NONE, allow_delete=True)
    assert tenants.provider.observe() == NONE


def test_a_team_or_key_that_is_not_ours_is_refused(tenants: Tenants, gateway: Gateway) -> None:
    gateway.client.create_team({"team_id": "acme"})
    gateway.client.create_key(key_of("beta"), {})
    rows = tenants.rows()

    with pytest.raises(TollgateError, match="team acme: LiteLLM has a team of this id that Tollgate did not make"):
        tenants.apply(wanted(ACME))
    with pytest.raises(TollgateError, match="LiteLLM has this key already, and Tollgate did not make it"):
        tenants.apply(wanted(BETA))
    assert tenants.rows() == rows


def test_a_change_made_by_hand_is_reverted(tenants: Tenants, gateway: Gateway) -> None:
    state = wanted(FULL)
    tenants.apply(state)
    budgets = {"max_budget": 1, "budget_duration": "1mo", "budget_limits": [{"budget_duration": "1d", "max_budget": 1}]}
    limits = {**budgets, "rpm_limit": 9999, "tpm_limit": 9999, "tpd_limit": 5}
    by_hand = {**limits, "blocked": True, "model_rpm_limit": {"test-model": 1}}
    gateway.client.update_team("full", by_hand)
    for key in state.keys:
        more = {"models": [], "allowed_routes": [], "max_parallel_requests": 9, "duration": "1h"}
        gateway.client.update_key(key, {**limits, **more})
        gateway.client.update_key(key, {"model_rpm_limit": {"test-model": 1}})

    assert {(change.kind, str(change.action)) for change in tenants.plan(state).changes} == {
        ("team", "update"),
        ("key", "update"),
    }
    tenants.apply(state)
    assert tenants.provider.observe() == state


# ---- problems that LiteLLM does not report


def test_an_unknown_field_of_a_team_is_found(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    def misspelt(team: Team) -> dict[str, Any]:
        fields = team_fields(team)
        return {"team_aliases" if name == "team_alias" else name: value for name, value in fields.items()}

    monkeypatch.setattr(provider_module, "team_fields", misspelt)

    with pytest.raises(TollgateError, match="team acme: LiteLLM accepted the change but did not make it: name is"):
        tenants.apply(wanted(ACME))


def test_an_unknown_field_of_a_key_is_found(tenants: Tenants, monkeypatch: pytest.MonkeyPatch) -> None:
    def misspelt(key: Key) -> dict[str, Any]:
        return {"route" if name == "allowed_routes" else name: value for name, value in key_fields(key).items()}

    monkeypatch.setattr(provider_module, "key_fields", misspelt)

    with pytest.raises(
        TollgateError, match=r"key full/(ci|default)/.*: LiteLLM accepted the change but did not make it: routes is"
    ):
        tenants.apply(wanted(FULL))


def test_a_key_that_another_team_got_after_the_plan_is_found(tenants: Tenants, gateway: Gateway) -> None:
    state = wanted(ACME, BETA)
    plan = tenants.plan(state)
    gateway.client.create_team({"team_id": "theirs"})
    gateway.client.create_key(key_of("acme"), {"team_id": "theirs", "key_alias": "theirs"})

    outcome = apply(plan, tenants.provider)

    assert str(outcome) == "applied 3, failed 1, not tried 0"
    assert "LiteLLM has this key already, in team theirs" in outcome.failed[0][1].message


def test_litellm_still_answers_200_to_an_existing_key_unchanged(gateway: Gateway) -> None:
    """This is why a created key is read back. If this test fails, provider.py no longer needs to do that."""
    gateway.client.create_key(key_of("acme"), {"rpm_limit": 1})
    gateway.client.create_key(key_of("acme"), {"rpm_limit": 2})

    row = gateway.client.find_key(key_hash(key_of("acme")))

    assert row and row["rpm_limit"] == 1


def test_lists_are_complete_at_any_page_size(
    tenants: Tenants, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(21):
        gateway.client.create_team({"team_id": f"t{number}"})
        gateway.client.create_key(Secret(f"sk-{number}-0123456789abcdef"), {"team_id": f"t{number}"})
    for size in (1, 2, 20, 21):
        monkeypatch.setattr("tollgate.litellm.client.PAGE", size)
        state = tenants.provider.observe()

        assert state.unmanaged_teams.keys() == {f"t{number}" for number in range(21)}
        assert len(state.unmanaged_keys) == 21


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
