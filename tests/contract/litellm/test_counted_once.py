"""LiteLLM's own counters in Redis: none for a tenant that only our limits count, all of them for everybody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

ONCE = """
tenant: {id: once}
allowed_models: [test-model]
budget: {daily_limit: 5}
rate_limits: {tokens_per_minute: 1000000}
"""
SPENT = 'SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %s AND spend > 0'


def counters(gateway: Gateway, secret: Secret, team: str) -> int:
    """How many of LiteLLM's counters of this key and team Redis has, of four."""
    key = key_hash(secret)
    names = (f"spend:key:{key}", f"spend:team:{team}", f"{{api_key:{key}}}:tokens", f"{{team:{team}}}:tokens")
    return int(gateway.redis("EXISTS", *names))


def booked(gateway: Gateway, secret: Secret) -> Callable[[], list[tuple[Any, ...]]]:
    """Whether the ledger has what the key spent. LiteLLM counts in Redis before."""
    return lambda: gateway.sql(SPENT, key_hash(secret))


def test_a_call_of_our_tenant_is_counted_once_and_booked(gateway: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted(ONCE))
    secret = key_of("once")
    assert gateway.ask(secret).status_code == 200
    eventually(booked(gateway, secret), within=60)
    assert counters(gateway, secret, "once") == 0


def test_twin_litellm_counts_for_a_key_that_was_made_by_hand(running: Gateway, handmade: Callable[..., Secret]) -> None:
    secret = handmade(limits={"tokens_per_minute": 1_000_000})
    assert running.ask(secret).status_code == 200
    eventually(booked(running, secret), within=60)
    [(team,)] = running.sql('SELECT team_id FROM "LiteLLM_VerificationToken" WHERE token = %s', key_hash(secret))
    eventually(lambda: counters(running, secret, team) == 4, within=60)


def test_a_budget_that_is_set_by_hand_later_knows_what_was_spent(gateway: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted(ONCE))
    secret = key_of("once")
    assert gateway.ask(secret).status_code == 200
    eventually(booked(gateway, secret), within=60)
    gateway.client.update_key(key_hash(secret), {"max_budget": 1e-7})
    eventually(lambda: gateway.ask(secret).status_code == 429, within=60)
