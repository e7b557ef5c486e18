"""A plan as people read it."""

from __future__ import annotations

from dataclasses import replace

from tests.support.reconcile import hash_of, wanted
from tollgate.litellm.state import EXPIRED, Key, State
from tollgate.reconcile import output
from tollgate.reconcile.diff import diff

FILE = """
tenant: {id: acme, name: Acme}
allowed_models: [qwen-coder, claude]
budget: {daily_limit: 5, monthly_limit: 100}
rate_limits: {requests_per_minute: 60}
"""


def test_nothing() -> None:
    assert output.text(diff(wanted(FILE), wanted(FILE))) == "Nothing to change."


def test_a_change_and_a_new_key() -> None:
    plan = diff(wanted(FILE), replace(wanted(FILE.replace("60", "30")), keys={}))

    assert (
        output.text(plan)
        == f"""\
~ team acme
    requests_per_minute: 30 -> 60
+ key acme/default/{hash_of("acme")[:8]}
    key: (redacted)
    team: acme
    models: all of its tenant's
    routes: what nginx lets through
Plan: 1 to add, 1 to change, 0 to block, 0 to delete."""
    )


def test_every_kind_of_field() -> None:
    before = wanted("tenant: {id: acme}\nbudget: {daily_limit: 5, per_model: {claude: {daily_limit: 1}}}")
    after = wanted(
        FILE.replace("5,", "5.5, weekly_limit: 20, soft_limit: 1000000, per_model: {claude: {monthly_limit: 3}},")
        .replace("monthly_limit: 100", "monthly_limit: 2000000")
        .replace("60", "60, requests_per_hour: 500, max_parallel_requests: 2")
        + "metadata: {cost-centre: 4711, tags: [a, b]}\nsuspended: true\n"
    )

    assert output.text(diff(after, replace(before, keys=after.keys))) == (
        """\
~ team acme
    name: acme -> Acme
    models: every model -> claude, qwen-coder
    daily_limit: $5 -> $5.5
    weekly_limit: (none) -> $20
    monthly_limit: (none) -> $2000000
    requests_per_minute: (none) -> 60
    requests_per_hour: (none) -> 500
    max_parallel_requests: (none) -> 2
    soft_limit: (none) -> $1000000
    per_model.claude: $1 per 1d -> $3 per 1mo
    metadata.cost-centre: (none) -> 4711
    metadata.tags: (none) -> ["a", "b"]
    blocked: (none) -> yes
Plan: 0 to add, 1 to change, 0 to block, 0 to delete."""
    )


def test_a_removal() -> None:
    prefix = hash_of("acme")[:8]
    assert output.text(diff(State(), wanted(FILE))).splitlines() == [
        f"- key acme/default/{prefix}: would be blocked; --allow-delete deletes it",
        "- team acme: would be blocked; --allow-delete deletes it",
        "Plan: 0 to add, 0 to change, 2 to block, 0 to delete.",
    ]
    assert output.text(diff(State(), wanted(FILE), allow_delete=True)).splitlines() == [
        f"- key acme/default/{prefix}: would be deleted; its spend stays in the ledger",
        "- team acme: would be deleted; its spend stays in the ledger",
        "Plan: 0 to add, 0 to change, 0 to block, 2 to delete.",
    ]


def test_a_rotated_key_that_has_expired() -> None:
    state = wanted(FILE)
    old = Key("0" * 64, "acme", "acme/default/00000000", expires=EXPIRED, retiring=True)
    plan = diff(state, replace(state, keys={**state.keys, old.id: old}))

    assert (
        output.text(plan).splitlines()[0]
        == "- key acme/default/00000000: was rotated and has expired; would be deleted"
    )


def test_what_is_not_ours_is_named_a_few_or_all() -> None:
    state = replace(wanted(FILE), unmanaged_teams={f"u{n}": f"Team {n}" for n in range(7)}, unmanaged_keys={"k": "a"})
    plan = diff(wanted(FILE), state)

    assert output.text(plan).splitlines() == [
        "Not Tollgate's and left alone: 7 team(s): Team 0, Team 1, Team 2, Team 3, Team 4 and 2 more (--verbose)",
        "Not Tollgate's and left alone: 1 key(s): a",
        "Nothing to change.",
    ]
    assert "Team 6" in output.text(plan, verbose=True)


def test_a_conflict() -> None:
    plan = diff(wanted(FILE), State(unmanaged_teams={"acme": ""}))

    assert "! team acme: LiteLLM has a team of this id that Tollgate did not make" in output.text(plan).splitlines()
