"""From any tenants to any others with a real LiteLLM, compared with the gateway in memory.

tests/unit/reconcile/test_apply.py tries thousands of such pairs in memory. These tests show that the memory is right.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contract.litellm.tenants import ACME, BETA, FULL, Tenants, wanted
from tests.support.reconcile import Memory
from tollgate.reconcile.apply import apply
from tollgate.reconcile.diff import diff

pytestmark = pytest.mark.docker

# Only choices, because Hypothesis mixes constants of all loaded modules into numbers, also those of other tests.
amounts = st.sampled_from([1, 2.5])
budgets = st.fixed_dictionaries(
    {},
    optional={
        "daily_limit": amounts,
        "weekly_limit": st.sampled_from([3, 7]),
        "monthly_limit": st.sampled_from([10, 50]),
        "soft_limit": amounts,
        "per_model": st.just({"test-model": {"daily_limit": 0.5}}),
    },
).filter(lambda budget: "soft_limit" not in budget or "monthly_limit" in budget)
rates = st.fixed_dictionaries(
    {},
    optional={
        "requests_per_minute": st.sampled_from(range(1, 6)),
        "requests_per_hour": st.sampled_from(range(10, 51)),
        "tokens_per_minute": st.sampled_from([1, 2, 60_000, 2**31 - 1]),
        "max_parallel_requests": st.sampled_from(range(1, 10)),
    },
)
key = st.fixed_dictionaries(
    {}, optional={"expires": st.sampled_from(["2030-01-31", "2020-01-31"]), "owner": st.just("a@b.c")}
)
tenant = st.fixed_dictionaries(
    {"keys": st.dictionaries(st.sampled_from(["ci", "alice"]), key)},
    optional={
        "allowed_models": st.sampled_from([["test-model"], ["claude", "test-model"]]),
        "budget": budgets,
        "rate_limits": rates,
        "metadata": st.sampled_from([{"centre": 4711}, {"note": "ü'\\", "list": [1, None]}]),
        "suspended": st.booleans(),
    },
)
sets = st.dictionaries(st.sampled_from(["p1", "p2"]), tenant, max_size=2)


def files(tenants: dict[str, dict[str, Any]]) -> list[str]:
    """YAML is a superset of JSON."""
    return [
        json.dumps(
            {**file, "tenant": {"id": name}, "keys": [{"name": key, **more} for key, more in file["keys"].items()]}
        )
        for name, file in tenants.items()
    ]


@settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(before=sets, after=sets, allow_delete=st.booleans())
def test_any_tenants_can_replace_any_others(
    tenants: Tenants, before: dict[str, Any], after: dict[str, Any], allow_delete: bool
) -> None:
    start, end = wanted(*files(before)), wanted(*files(after))
    tenants.apply(start, allow_delete=True)
    memory = Memory(tenants.provider.observe())

    tenants.apply(end, allow_delete=allow_delete)
    apply(diff(end, memory.state, allow_delete=allow_delete), memory).raise_if_incomplete()

    state = tenants.provider.observe()
    assert (state.teams, state.keys) == (memory.state.teams, memory.state.keys), "the gateway in memory is wrong"
    assert diff(end, state, allow_delete=allow_delete).empty
    if allow_delete:
        assert state.teams == end.teams


def test_two_operators_at_once_reach_the_same_state(tenants: Tenants) -> None:
    """Two machines share no lock file. The second one can be refused, but nothing is duplicated or incomplete."""
    state = wanted(ACME, BETA, FULL)
    plan = tenants.plan(state)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: apply(plan, tenants.provider), range(2)))
    messages = [error.message for outcome in outcomes for _, error in outcome.failed]
    assert all("already exists" in message or "Unique constraint" in message for message in messages), messages

    tenants.apply(state)
    assert tenants.provider.observe() == state
