"""Compares a plan as text and as JSON with reviewed copies in tests/golden/plan; `UPDATE_GOLDEN=1` rewrites them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.reconcile import wanted
from tollgate.litellm.state import EXPIRED, NO_LIMITS, Key, State
from tollgate.reconcile.diff import diff
from tollgate.reconcile.output import text
from tollgate.reconcile.plan import Plan

GOLDEN = Path(__file__).with_name("plan")
BEFORE = (
    "{tenant: {id: gone}}",
    "{tenant: {id: research}, budget: {daily_limit: 5}, rate_limits: {requests_per_minute: 60}, metadata: {centre: 1}}",
)
AFTER = (
    """
tenant: {id: engineering, name: Engineering, owner: lead@example.org}
allowed_models: ["group:coding", test-model]
budget:
  {daily_limit: 100, weekly_limit: 400, monthly_limit: 1000, soft_limit: 800, per_model: {claude: {monthly_limit: 500}}}
rate_limits: {requests_per_minute: 60, requests_per_day: 5000, tokens_per_minute: 100000, max_parallel_requests: 10}
keys:
  - {name: ci, owner: ci@example.org, expires: 2027-01-31, allowed_models: [test-model], budget: {monthly_limit: 50}}
""",
    "{tenant: {id: research}, budget: {daily_limit: 7.5}, metadata: {centre: 2, team: core}, suspended: true}",
)


def plan() -> Plan:
    """Something of everything: new, changed, suspended, removed, rotated out, moved, changed by hand, not ours."""
    before, after, new = wanted(*BEFORE), wanted(AFTER[1]), wanted(AFTER[0], made=False)
    rotated = Key("0" * 64, "research", "research/default/00000000", "default", expires=EXPIRED, retiring=True)
    # Its limits are where earlier versions wrote them.
    columns = (("budget_limits", '[{"budget_duration": "1d", "max_budget": 5.0}]'), ("rpm_limit", "60"))
    stray = (columns[0], ("model_rpm_limit", '{"claude": 1}'), columns[1])
    drifted = replace(before.teams["research"], limits=NO_LIMITS, stray=stray)
    observed = State(
        {**before.teams, "research": drifted},
        {**before.keys, rotated.id: rotated},
        {"theirs": "Somebody's"},
        {"f" * 64: "sk-...abcd"},
    )
    return diff(State({**after.teams, **new.teams}, {**after.keys, **new.keys}), observed)


FILES = {"plan.txt": text(plan()) + "\n", "plan.json": json.dumps(plan().to_json(), indent=2) + "\n"}


@pytest.mark.parametrize("name", FILES)
def test_the_plan_is_shown_as_reviewed(name: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(FILES[name])
    assert FILES[name] == golden.read_text(), f"{name} changed: review it, then UPDATE_GOLDEN=1 pytest {__file__}"
