"""From tenant files to a plan, and a plan applied: everything but LiteLLM itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.config.secret import Secret
from tollgate.config.tenants import parse
from tollgate.errors import TollgateError
from tollgate.litellm.state import Budget, Key, Limits, State, Team
from tollgate.reconcile import output
from tollgate.reconcile.apply import apply
from tollgate.reconcile.change import Action, Change
from tollgate.reconcile.desired import desired, key_hash
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan

FILE = """
tenant: {id: acme, name: Acme}
allowed_models: [qwen-coder, claude]
budget: {daily_limit: 5, monthly_limit: 100}
rate_limits: {requests_per_minute: 60}
"""
SECRET = Secret("sk-0123456789abcdef0123456789abcdef")


def acme(text: str = FILE, secret: Secret = SECRET) -> State:
    return desired([parse(text, Path("tenants/acme.yaml"))], {"acme": secret})


class Memory:
    """A gateway that is a State; `fail_at` makes the n-th change fail as LiteLLM would."""

    def __init__(self, state: State, fail_at: int = 0) -> None:
        self.state, self.fail_at, self.calls = state, fail_at, 0

    def apply_change(self, before: Team | Key | None, after: Team | Key | None) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise TollgateError("LiteLLM: POST /team/new: 503: database away")
        teams, keys = dict(self.state.teams), dict(self.state.keys)
        subject = after or before
        table: dict = teams if isinstance(subject, Team) else keys
        assert table.get(subject.id) == before, "the plan does not start from what is there"
        if isinstance(after, Key):
            assert after.team in teams, "a key was made before its team"
        table.pop(subject.id, None)
        if after is not None:
            table[after.id] = after
        elif isinstance(subject, Team):  # LiteLLM deletes the keys with the team
            keys = {name: key for name, key in keys.items() if key.team != subject.id}
        self.state = replace(self.state, teams=teams, keys=keys)


# ---- desired


def test_a_tenant_becomes_a_team_with_its_limits_and_one_key() -> None:
    state = acme()
    (team,), (key,) = state.teams.values(), state.keys.values()

    assert team == Team(
        id="acme",
        name="Acme",
        models=("claude", "qwen-coder"),
        limits=Limits(Budget(100, "1mo"), (Budget(5, "1d"),), requests_per_minute=60),
    )
    assert (key.team, key.models, key.limits) == ("acme", ("all-team-models",), Limits())
    assert key.id == key_hash(SECRET)
    assert key.alias == f"acme/default/{key.id[:8]}"


def test_a_tenant_without_limits_has_none_and_may_use_every_model() -> None:
    (team,) = acme("tenant: {id: acme}").teams.values()

    assert team == Team(id="acme", name="acme")


# ---- diff


def test_nothing_to_do_is_an_empty_plan() -> None:
    plan = diff(acme(), acme())

    assert plan.empty
    assert output.text(plan) == "Nothing to change."


def test_a_new_tenants_team_comes_before_its_key() -> None:
    assert [(c.action, c.kind) for c in diff(acme(), State()).changes] == [
        (Action.CREATE, "team"),
        (Action.CREATE, "key"),
    ]


def test_a_removed_tenant_is_blocked_key_first_and_deleted_only_when_allowed() -> None:
    blocked = diff(State(), acme())
    deleted = diff(State(), acme(), allow_delete=True)

    assert [(c.action, c.kind) for c in blocked.changes] == [(Action.BLOCK, "key"), (Action.BLOCK, "team")]
    assert [(c.action, c.kind) for c in deleted.changes] == [(Action.DELETE, "key"), (Action.DELETE, "team")]


def test_a_removed_tenant_that_is_blocked_stays_as_it_is() -> None:
    memory = Memory(acme())
    apply(diff(State(), memory.state), memory)

    assert diff(State(), memory.state).empty
    assert {change.action for change in diff(acme(), memory.state).changes} == {Action.UPDATE}  # the file came back


def test_another_key_is_a_new_key_and_the_old_one_is_blocked_not_changed() -> None:
    plan = diff(acme(secret=Secret("sk-another-key-another-key-another")), acme())

    assert sorted((c.action, c.kind) for c in plan.changes) == [(Action.BLOCK, "key"), (Action.CREATE, "key")]


def test_what_is_not_ours_is_counted_and_never_in_a_change() -> None:
    observed = State(unmanaged_teams=frozenset({"theirs"}), unmanaged_keys=frozenset({"a", "b"}))
    plan = diff(acme(), observed, allow_delete=True)

    assert {change.subject.tenant for change in plan.changes} == {"acme"}
    assert output.summary(plan).endswith("3 object(s) are not Tollgate's and are left alone.")


@pytest.mark.parametrize("kind", ["team", "key"])
def test_a_name_that_somebody_else_has_is_refused_before_anything_is_done(kind: str) -> None:
    taken = {"team": {"unmanaged_teams": frozenset({"acme"})}, "key": {"unmanaged_keys": frozenset({key_hash(SECRET)})}}
    memory = Memory(State(**taken[kind]))

    with pytest.raises(TollgateError, match=f"^error: {kind} acme"):
        apply(diff(acme(), memory.state), memory)
    assert memory.calls == 0


# ---- plan and its text


def test_the_plan_as_text() -> None:
    plan = diff(acme(), replace(acme(FILE.replace("60", "30")), keys={}))
    prefix = key_hash(SECRET)[:8]

    assert (
        output.text(plan)
        == f"""\
~ team acme
    requests_per_minute: 30 -> 60
+ key acme/default/{prefix}
    key: (redacted)
    team: acme
    models: all-team-models
    routes: what nginx lets through
Plan: 1 to add, 1 to change, 0 to block, 0 to delete."""
    )


def test_budgets_and_models_as_text() -> None:
    before = acme("tenant: {id: acme, name: Acme}\nbudget: {daily_limit: 5}")

    assert (
        output.text(replace(diff(acme(), before), unmanaged_teams=1))
        == """\
~ team acme
    models: every model -> claude, qwen-coder
    budget: (none) -> $100 per 1mo
    requests_per_minute: (none) -> 60
Plan: 0 to add, 1 to change, 0 to block, 0 to delete. 1 object(s) are not Tollgate's and are left alone."""
    )


def test_a_removal_as_text() -> None:
    prefix = key_hash(SECRET)[:8]
    assert output.text(diff(State(), acme())).splitlines() == [
        f"- key acme/default/{prefix}: would be blocked; --allow-delete deletes it",
        "- team acme: would be blocked; --allow-delete deletes it",
        "Plan: 0 to add, 0 to change, 2 to block, 0 to delete.",
    ]


def test_no_form_of_a_plan_holds_a_key() -> None:
    plan = diff(acme(), State())

    assert SECRET.reveal() not in output.text(plan) + json.dumps(plan.to_json()) + repr(plan)
    assert key_hash(SECRET) in json.dumps(plan.to_json())


def test_the_hash_follows_what_is_planned_and_what_was_there() -> None:
    plans = [
        diff(acme(), State()),
        diff(acme(FILE.replace("60", "30")), State()),
        diff(acme(), acme(FILE.replace("60", "30"))),
        diff(acme(), acme(FILE.replace("60", "31"))),
    ]

    assert len({plan.hash for plan in plans}) == len(plans)
    assert diff(acme(), State()).hash == plans[0].hash == plans[0].to_json()["hash"]


# ---- apply


def test_apply_reports_each_change_before_it_is_made() -> None:
    seen: list[tuple[str, int, int]] = []
    memory = Memory(State())

    def report(change: Change, number: int, total: int) -> None:
        assert memory.calls == number - 1
        seen.append((change.kind, number, total))

    outcome = apply(diff(acme(), State()), memory, report)

    assert seen == [("team", 1, 2), ("key", 2, 2)]
    assert str(outcome) == "applied 2, failed 0, not tried 0"


def test_apply_stops_at_a_failure_says_how_far_it_went_and_the_next_run_goes_on() -> None:
    memory = Memory(State(), fail_at=2)

    outcome = apply(diff(acme(), memory.state), memory)

    assert str(outcome) == "applied 1, failed 1, not tried 0"
    assert outcome.failed and outcome.failed.kind == "key"
    assert "503" in str(outcome.error)
    rest = diff(acme(), memory.state)
    assert [change.kind for change in rest.changes] == ["key"]
    apply(rest, memory)
    assert diff(acme(), memory.state).empty


ids = st.sampled_from(["acme", "beta", "core", "dual"])
amounts = st.sampled_from([1.0, 2.5, 100.0])
budgets = st.one_of(st.none(), st.builds(Budget, amounts, st.sampled_from(["1mo", "7d", None])))
limits = st.builds(
    Limits, budgets, st.just(()) | st.builds(lambda usd: (Budget(usd, "1d"),), amounts), st.none() | st.integers(1, 99)
)


@st.composite
def states(draw: st.DrawFn) -> State:
    teams = {
        name: Team(name, draw(st.sampled_from(["A", "B"])), limits=draw(limits), blocked=draw(st.booleans()))
        for name in draw(st.sets(ids))
    }
    keys = {
        digest: Key(digest, draw(st.sampled_from(sorted(teams))), f"alias-{digest}", blocked=draw(st.booleans()))
        for digest in (draw(st.sets(st.sampled_from("0123"))) if teams else ())
    }
    return State(teams, keys)


@given(before=states(), after=states())
def test_any_state_applied_over_any_other_ends_there(before: State, after: State) -> None:
    memory = Memory(before)

    outcome = apply(diff(after, before, allow_delete=True), memory)

    assert outcome.error is None
    assert (memory.state.teams, memory.state.keys) == (after.teams, after.keys)
    assert diff(after, memory.state, allow_delete=True) == Plan()


@given(before=states(), after=states())
def test_without_leave_to_delete_nothing_disappears(before: State, after: State) -> None:
    memory = Memory(before)

    apply(diff(after, before), memory)

    assert before.teams.keys() <= memory.state.teams.keys()
    assert before.keys.keys() <= memory.state.keys.keys()
    for name in before.teams.keys() - after.teams.keys():
        assert memory.state.teams[name].blocked
    assert diff(after, memory.state).empty
