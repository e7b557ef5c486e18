"""Applying a plan: order, what stops it, and that it always ends at what was wanted."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.reconcile import Memory, wanted
from tollgate.errors import TollgateError
from tollgate.litellm.state import EXPIRED, Budget, Key, Limits, State, Team
from tollgate.reconcile.apply import WORKERS, _Walk, apply
from tollgate.reconcile.change import Change
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan

ACME, BETA = "tenant: {id: acme}", "tenant: {id: beta}"


def test_each_change_is_reported_once_it_is_made() -> None:
    told: list[tuple[str, int, int]] = []
    memory = Memory(State())

    outcome = apply(diff(wanted(ACME), State()), memory, lambda change, *numbers: told.append((change.kind, *numbers)))

    assert str(outcome) == "applied 2, failed 0, not tried 0"
    assert told == [("team", 1, 2), ("key", 2, 2)]


@pytest.mark.parametrize("fail_at", [1, 2, 3, 4])
def test_it_stops_at_the_first_failure_and_a_second_run_goes_on(fail_at: int) -> None:
    both = wanted(ACME, BETA)
    memory = Memory(State(), fail_at=fail_at)

    outcome = apply(diff(both, memory.state), memory, workers=1)

    assert str(outcome) == f"applied {fail_at - 1}, failed 1, not tried {4 - fail_at}"
    with pytest.raises(TollgateError, match=f"applied {fail_at - 1}, .*: LiteLLM: POST /team/new: 503") as raised:
        outcome.raise_if_incomplete()
    assert str(outcome.failed[0][0].name) in raised.value.message
    apply(diff(both, memory.state), memory)
    assert diff(both, memory.state).empty


class Slow(Memory):
    """Fails one team while the others are under way; these end once that is `known`."""

    def __init__(self, workers: int) -> None:
        super().__init__(State())
        self.under_way = threading.Barrier(workers)
        self.known = threading.Event()

    def write(self, before: Team | Key | None, after: Team | Key | None) -> None:
        self.under_way.wait(60)
        if after is not None and after.tenant == "t0":
            raise TollgateError("no")
        self.known.wait(60)
        super().write(before, after)


def test_after_a_failure_running_writes_end_and_none_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    many = wanted(*(f"tenant: {{id: t{number}}}" for number in range(40)))
    gateway, fail = Slow(WORKERS), _Walk._fail

    def noted(walk: _Walk, failed: Sequence[tuple[Change, TollgateError]]) -> None:
        fail(walk, failed)
        gateway.known.set()

    monkeypatch.setattr(_Walk, "_fail", noted)
    outcome = apply(diff(many, State()), gateway)

    assert (len(outcome.failed), len(outcome.applied)) == (1, WORKERS - 1)
    assert len(outcome.not_tried) == 80 - WORKERS
    assert {change.subject.id for change in outcome.applied} == set(gateway.state.teams)


class Forgetful(Memory):
    """Drops a field of one key, in silence."""

    def _apply(self, before: Team | Key | None, after: Team | Key | None) -> None:
        forgets = isinstance(after, Key) and after.team == "beta"
        super()._apply(before, replace(after, owner="nobody") if forgets and after else after)


def test_a_key_that_differs_from_its_write_fails_and_nothing_is_deleted() -> None:
    before = wanted("tenant: {id: gone}")
    memory = Forgetful(before)

    outcome = apply(diff(wanted(ACME, BETA), before, allow_delete=True), memory)

    assert str(outcome) == "applied 3, failed 1, not tried 2"
    assert [change.subject.tenant for change, _ in outcome.failed] == ["beta"]
    assert {change.subject.tenant for change in outcome.not_tried} == {"gone"}
    assert before.keys.keys() <= memory.state.keys.keys()


def test_keys_that_cannot_be_read_back_have_failed() -> None:
    class Away(Memory):
        def confirm(self, keys: object) -> Iterator[tuple[Key, TollgateError]]:
            raise TollgateError("LiteLLM: POST /v2/key/info: no answer")

    outcome = apply(diff(wanted(ACME, BETA), State()), Away(State()))

    assert str(outcome) == "applied 2, failed 2, not tried 0"


def test_ctrl_c_ends_it_like_a_failure_does() -> None:
    class Interrupted(Memory):
        def write(self, before: Team | Key | None, after: Team | Key | None) -> None:
            if isinstance(after, Key):
                raise KeyboardInterrupt
            super().write(before, after)

    memory = Interrupted(State())
    outcome = apply(diff(wanted(ACME), State()), memory)

    assert (len(outcome.applied), len(outcome.not_tried)) == (1, 1)
    with pytest.raises(TollgateError, match="applied 1, failed 0, not tried 1: interrupted"):
        outcome.raise_if_incomplete()


# ---- for any two states

ids = st.sampled_from(["acme", "beta", "core", "dual"])
amounts = st.sampled_from([1.0, 2.5, 100.0])
counts = st.none() | st.integers(1, 99)
budgets = st.none() | st.builds(Budget, amounts, st.sampled_from(["1mo", "7d", None]))
windows = st.sets(st.builds(Budget, amounts, st.sampled_from(["1d", "7d"]))).map(lambda found: tuple(sorted(found)))
per_model = st.sampled_from([(), (("claude", (Budget(1, "1d"),)),)])
limits = st.builds(Limits, budgets, windows, counts, counts, counts, counts, counts, st.none() | amounts, per_model)
labels = st.sampled_from([(), (("centre", "1"),), (("centre", "2"), ("note", '"x"'))])
ends = st.sampled_from([None, "2027-01-01T00:00Z", EXPIRED])


@st.composite
def states(draw: st.DrawFn, observed: bool) -> State:
    """`observed` may hold what no tenant file leads to: strays, rotated keys."""
    stray = st.sampled_from([(), (("tpd_limit", "1"),)]) if observed else st.just(())
    teams = {
        name: Team(
            name, draw(st.sampled_from("AB")), (), draw(limits), "", draw(labels), draw(st.booleans()), draw(stray)
        )
        for name in draw(st.sets(ids))
    }
    keys = {
        digest: Key(
            digest,
            draw(st.sampled_from(sorted(teams))),
            f"alias-{digest}",
            limits=draw(limits),
            expires=draw(ends),
            retiring=observed and draw(st.booleans()),
            blocked=draw(st.booleans()),
            stray=draw(stray),
        )
        for digest in (draw(st.sets(st.sampled_from("0123"))) if teams else ())
    }
    return State(teams, keys)


def lives(key: Key, teams: State) -> bool:
    """A rotated key within its grace, which an apply leaves."""
    return key.retiring and key.expires not in (None, EXPIRED) and key.team in teams.teams


@settings(deadline=None)
@given(before=states(observed=True), after=states(observed=False))
def test_any_state_applied_over_any_other_ends_there(before: State, after: State) -> None:
    memory = Memory(before)

    apply(diff(after, before, allow_delete=True), memory).raise_if_incomplete()

    assert memory.state.teams == after.teams
    never_made = {name for name, key in after.keys.items() if key.expires == EXPIRED and name not in before.keys}
    left = {name for name, key in before.keys.items() if lives(key, after) and name not in after.keys}
    assert memory.state.keys.keys() == (after.keys.keys() - never_made) | left
    assert {name: memory.state.keys[name] for name in after.keys.keys() - never_made} == {
        name: key for name, key in after.keys.items() if name not in never_made
    }
    for name in left:
        assert memory.state.keys[name] == replace(
            before.keys[name], blocked=after.teams[before.keys[name].team].blocked
        )
    assert diff(after, memory.state, allow_delete=True) == Plan(allow_delete=True)


@settings(deadline=None)
@given(before=states(observed=True), after=states(observed=False))
def test_without_leave_to_delete_nothing_that_lives_disappears(before: State, after: State) -> None:
    memory = Memory(before)

    apply(diff(after, before), memory).raise_if_incomplete()

    assert before.teams.keys() <= memory.state.teams.keys()
    gone = before.keys.keys() - memory.state.keys.keys()
    assert all(before.keys[name].retiring and before.keys[name].expires == EXPIRED for name in gone)
    for name in before.teams.keys() - after.teams.keys():
        assert memory.state.teams[name].blocked
    assert diff(after, memory.state).empty


@settings(deadline=None)
@given(before=states(observed=True), after=states(observed=False), cut=st.integers(1, 12))
def test_cut_off_anywhere_and_applied_again_it_ends_at_the_same_place(before: State, after: State, cut: int) -> None:
    straight, cut_off = Memory(before), Memory(before, fail_at=cut)

    apply(diff(after, before, allow_delete=True), straight)
    apply(diff(after, before, allow_delete=True), cut_off)
    apply(diff(after, cut_off.state, allow_delete=True), cut_off).raise_if_incomplete()

    assert cut_off.state == straight.state
