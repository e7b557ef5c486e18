"""From any tenants to any others against a real LiteLLM, and the gateway in memory held to it.

tests/unit/test_reconcile_apply.py tries thousands of such pairs in memory; what it shows is worth as much as this.
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

# Nothing but choices: into numbers Hypothesis mixes constants of the modules that are loaded, other tests' among them.
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
).filter(lambda found: "soft_limit" not in found or "monthly_limit" in found)
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
def test_any_tenants_applied_over_any_others_end_there(
    tenants: Tenants, before: dict[str, Any], after: dict[str, Any], allow_delete: bool
) -> None:
    start, end = wanted(*files(before)), wanted(*files(after))
    tenants.apply(start, allow_delete=True)
    memory = Memory(tenants.provider.observe())

    tenants.apply(end, allow_delete=allow_delete)
    apply(diff(end, memory.state, allow_delete=allow_delete), memory).raise_if_incomplete()

    found = tenants.provider.observe()
    assert (found.teams, found.keys) == (memory.state.teams, memory.state.keys), "the gateway in memory lies"
    assert diff(end, found, allow_delete=allow_delete).empty
    if allow_delete:
        assert found.teams == end.teams


def test_two_operators_at_once_end_at_the_same_place(tenants: Tenants) -> None:
    """Two machines share no lock file. Whoever is second may be refused, and nothing is doubled or half made."""
    state = wanted(ACME, BETA, FULL)
    plan = tenants.plan(state)

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: apply(plan, tenants.provider), range(2)))
    told = [error.message for outcome in outcomes for _, error in outcome.failed]
    assert all("already exists" in message or "Unique constraint" in message for message in told), told

    tenants.apply(state)
    assert tenants.provider.observe() == state
