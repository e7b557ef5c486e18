"""From tenant files to a plan: what a file means in LiteLLM, and what differs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.reconcile import NOW, Memory, hash_of, secret_of, wanted
from tollgate.errors import TollgateError
from tollgate.litellm.state import EXPIRED, Budget, Key, Limits, State, Team
from tollgate.reconcile.apply import apply
from tollgate.reconcile.change import Action
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan, Reviewed

FILE = """
tenant: {id: acme, name: Acme, owner: lead@example.org}
allowed_models: [qwen-coder, claude]
budget: {daily_limit: 5, weekly_limit: 20, monthly_limit: 50}
rate_limits: {requests_per_minute: 60}
"""
FULL = (
    FILE
    + """\
metadata: {cost-centre: 4711}
keys:
  - {name: alice, owner: alice@example.org, allowed_models: ["group:coding"], budget: {monthly_limit: 10}}
  - {name: ci, expires: 2027-01-31, rate_limits: {requests_per_hour: 7}}
"""
)


def actions(plan: Plan) -> list[tuple[str, str]]:
    return [(str(change.action), change.kind) for change in plan.changes]


# ---- desired


def test_a_tenant_becomes_a_team_with_its_limits_and_one_key() -> None:
    state = wanted(FILE)
    (team,), (key,) = state.teams.values(), state.keys.values()

    assert team == Team(
        id="acme",
        name="Acme",
        owner="lead@example.org",
        models=("claude", "qwen-coder"),
        limits=Limits(daily_limit=5, weekly_limit=20, monthly_limit=50, requests_per_minute=60),
    )
    assert key == Key(hash_of("acme"), "acme", f"acme/default/{hash_of('acme')[:8]}", "default", "lead@example.org")


def test_a_tenant_without_limits_has_none_and_may_use_every_model() -> None:
    (team,) = wanted("tenant: {id: acme}").teams.values()

    assert team == Team(id="acme", name="acme")


def test_further_keys_have_models_limits_and_an_end_of_their_own() -> None:
    state = wanted(FULL)
    alice, ci = state.keys[hash_of("acme", "alice")], state.keys[hash_of("acme", "ci")]

    assert (alice.name, alice.owner, alice.models) == ("alice", "alice@example.org", ("claude",))
    assert alice.limits == Limits(monthly_limit=10)
    assert (ci.models, ci.limits.requests_per_hour) == (("all-team-models",), 7)
    assert ci.expires == "2027-02-01T00:00Z", "the day named is the last on which it works"
    assert state.teams["acme"].labels == (("cost-centre", "4711"),)


def test_what_litellm_lacks_is_among_the_limits_too() -> None:
    limits = (
        wanted(
            """
tenant: {id: acme}
budget:
  monthly_limit: 100
  soft_limit: 80
  per_model: {claude: {daily_limit: 2, monthly_limit: 30}, test-model: {}}
rate_limits: {requests_per_hour: 5, requests_per_day: 6, max_parallel_requests: 3}
"""
        )
        .teams["acme"]
        .limits
    )

    assert (limits.requests_per_hour, limits.requests_per_day, limits.max_parallel_requests) == (5, 6, 3)
    assert limits.soft_limit == 80
    assert limits.per_model == (("claude", (Budget(2, "1d"), Budget(30, "1mo"))),)


def test_a_suspended_tenant_is_a_blocked_team_with_blocked_keys() -> None:
    state = wanted(FULL + "suspended: true\n")

    assert [one.blocked for one in (*state.teams.values(), *state.keys.values())] == [True] * 4


# ---- diff


def test_nothing_to_do_is_an_empty_plan() -> None:
    assert diff(wanted(FULL), wanted(FULL)) == Plan()


def test_a_new_tenants_team_comes_before_its_keys() -> None:
    assert actions(diff(wanted(FULL), State())) == [("create", "team")] + [("create", "key")] * 3


def test_a_removed_tenant_is_blocked_and_deleted_only_when_allowed() -> None:
    blocked = diff(State(), wanted(FILE))
    deleted = diff(State(), wanted(FILE), allow_delete=True)

    assert actions(blocked) == [("block", "key"), ("block", "team")]
    assert actions(deleted) == [("delete", "key"), ("delete", "team")]
    assert all(change.takes_access for change in (*blocked.changes, *deleted.changes))


def test_a_removed_tenant_that_is_blocked_stays_as_it_is() -> None:
    memory = Memory(wanted(FILE))
    apply(diff(State(), memory.state), memory)

    assert diff(State(), memory.state).empty
    assert {change.action for change in diff(wanted(FILE), memory.state).changes} == {Action.UPDATE}  # it came back


def test_a_suspension_is_a_change_and_changes_nothing_else() -> None:
    plan = diff(wanted(FULL + "suspended: true\n"), wanted(FULL))

    assert actions(plan) == [("update", "team")] + [("update", "key")] * 3
    assert not any(change.takes_access for change in plan.changes)


def test_another_key_is_a_new_key_and_the_old_one_is_blocked_not_changed() -> None:
    old = wanted(FILE)
    (key,) = old.keys.values()
    another = replace(key, id="f" * 64, alias="acme/default/ffffffff")
    plan = diff(State(old.teams, {another.id: another}), old)

    assert sorted(actions(plan)) == [("block", "key"), ("create", "key")]


def test_a_key_that_is_not_made_yet_has_no_random_name() -> None:
    plans = [diff(wanted(FULL, made=False), State()) for _ in range(2)]

    assert [change.name for change in plans[0].changes][1:] == [
        "acme/alice/(new)",
        "acme/ci/(new)",
        "acme/default/(new)",
    ]
    assert plans[0].hash == plans[1].hash


def test_what_is_not_ours_is_named_and_never_in_a_change() -> None:
    observed = State(unmanaged_teams={"theirs": "Theirs"}, unmanaged_keys={"a" * 64: "", "b": "sk-...1234"})
    plan = diff(wanted(FILE), observed, allow_delete=True)

    assert {change.subject.tenant for change in plan.changes} == {"acme"}
    assert (plan.unmanaged_teams, plan.unmanaged_keys) == (("Theirs",), ("a" * 16, "sk-...1234"))


@pytest.mark.parametrize("kind", ["team", "key"])
def test_a_name_that_somebody_else_has_is_refused_before_anything_is_done(kind: str) -> None:
    taken: dict[str, Any] = {
        "team": {"unmanaged_teams": {"acme": ""}},
        "key": {"unmanaged_keys": {hash_of("acme"): ""}},
    }
    memory = Memory(State(**taken[kind]))

    with pytest.raises(TollgateError, match=f"^error: {kind} acme"):
        apply(diff(wanted(FILE), memory.state), memory)
    assert memory.calls == 0


def test_what_a_hand_set_beside_our_fields_is_taken_back() -> None:
    (team,) = wanted(FILE).teams.values()
    drifted = replace(team, stray=(("tpd_limit", "5"),))

    (change,) = diff(wanted(FILE), replace(wanted(FILE), teams={"acme": drifted})).changes

    assert (change.action, list(change.differences())) == (Action.UPDATE, [("stray.tpd_limit", "5", None)])


# ---- keys that end


def test_an_expired_key_is_not_made_and_one_that_is_there_needs_nothing() -> None:
    later = NOW + timedelta(days=365)
    state = wanted(FULL, now=later)
    ci = state.keys[hash_of("acme", "ci")]

    assert ci.expires == EXPIRED
    assert ci.id not in {change.subject.id for change in diff(state, State()).changes}
    assert diff(state, state).empty


def rotated(expires: str | None, blocked: bool = False) -> tuple[State, Key]:
    """ACME with a key that was rotated beside those its file names."""
    state = wanted(FILE)
    (team,) = state.teams.values()
    old = Key("0" * 64, "acme", "acme/default/00000000", "default", expires=expires, retiring=True, blocked=blocked)
    team = replace(team, blocked=blocked)
    return State({"acme": team}, {**state.keys, old.id: old}), old


def test_a_rotated_key_is_left_alone_while_its_grace_lasts() -> None:
    assert diff(wanted(FILE), rotated("2026-11-22T12:00Z")[0]).empty
    assert diff(wanted(FILE), rotated("2026-11-22T12:00Z")[0], allow_delete=True).empty


def test_an_expired_rotated_key_is_deleted_without_asking() -> None:
    observed, old = rotated(EXPIRED)
    (change,) = diff(wanted(FILE), observed).changes

    assert (change.action, change.subject, change.takes_access) == (Action.DELETE, old, False)


def test_twin_a_key_that_is_not_retiring_or_never_ends_is_blocked() -> None:
    for unlike in (replace(rotated("2026-11-22T12:00Z")[1], retiring=False), rotated(None)[1]):
        observed = replace(rotated(None)[0], keys={**wanted(FILE).keys, unlike.id: unlike})
        assert actions(diff(wanted(FILE), observed)) == [("block", "key")]


def test_a_suspension_blocks_a_rotated_key_too_and_its_end_lets_it_go_on() -> None:
    memory = Memory(rotated("2026-11-22T12:00Z")[0])

    apply(diff(wanted(FILE + "suspended: true\n"), memory.state), memory)
    assert all(key.blocked for key in memory.state.keys.values())
    apply(diff(wanted(FILE), memory.state), memory)
    assert not any(key.blocked for key in memory.state.keys.values())


def test_a_rotated_key_goes_with_its_tenant() -> None:
    observed, old = rotated("2026-11-22T12:00Z")

    assert old in [change.subject for change in diff(State(), observed, allow_delete=True).changes]


# ---- a plan that was reviewed


def reviewed(plan: Plan) -> Reviewed:
    return Reviewed.read(json.dumps(plan.to_json()), "plan.json")


def test_a_reviewed_plan_is_recognised_and_another_is_not() -> None:
    plan = diff(wanted(FILE), State(), allow_delete=True)

    assert reviewed(plan).allow_delete
    reviewed(plan).raise_unless_same(diff(wanted(FILE), State(unmanaged_teams={"theirs": ""}), allow_delete=True))
    for moved in (
        diff(wanted(FILE.replace("60", "61")), State()),  # a file
        diff(wanted(FILE), wanted(FILE.replace("60", "61"))),  # LiteLLM
        diff(wanted(FILE), State(unmanaged_teams={"acme": ""})),  # somebody took the name
    ):
        with pytest.raises(TollgateError, match="have changed since this plan was made; nothing was applied"):
            reviewed(plan).raise_unless_same(moved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"hash": "x"}', "null", '"a"'])
def test_what_is_not_a_plan_is_refused(text: str) -> None:
    with pytest.raises(TollgateError, match="this is not a plan"):
        Reviewed.read(text, "plan.json")


def test_a_plan_of_another_format_is_refused() -> None:
    with pytest.raises(TollgateError, match="expected a plan of format 3, found 1"):
        Reviewed.read('{"format": 1, "hash": "x", "allow_delete": false}', "plan.json")


def test_no_form_of_a_plan_holds_a_key() -> None:
    plan = diff(wanted(FULL), State())
    forms = json.dumps(plan.to_json()) + repr(plan)

    assert secret_of("acme").reveal() not in forms
    assert hash_of("acme") in forms
