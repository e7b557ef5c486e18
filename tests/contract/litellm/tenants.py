"""Tenant files, their keys, and plan and apply with the gateway, like the command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.contract.litellm.gateway import Gateway
from tests.support import reconcile
from tests.support.reconcile import secret_of
from tollgate.config.secret import Secret
from tollgate.litellm.provider import LiteLLMTenants
from tollgate.litellm.state import State
from tollgate.reconcile.apply import Outcome, apply
from tollgate.reconcile.desired import key_hash
from tollgate.reconcile.diff import diff
from tollgate.reconcile.plan import Plan

ACME = """
tenant: {id: acme, name: Acme}
allowed_models: [test-model]
budget: {daily_limit: 5, monthly_limit: 100}
rate_limits: {requests_per_minute: 60, tokens_per_minute: 1000000}
"""
BETA = "tenant: {id: beta}"
# Redis and the ledger remember a tenant that is deleted: a test that counts calls or spend has one of its own.
FRUGAL, GONE = (ACME.replace("id: acme", f"id: {name}") for name in ("frugal", "gone"))
# Every field a file can have.
FULL = """
tenant: {id: full, name: "Full & Söhne", owner: lead@example.org}
allowed_models: [test-model, claude]
budget:
  {daily_limit: 5, weekly_limit: 9, monthly_limit: 20, soft_limit: 9.5, per_model: {test-model: {daily_limit: 2}}}
rate_limits:
  {requests_per_minute: 6, requests_per_hour: 50, requests_per_day: 60, tokens_per_minute: 7, max_parallel_requests: 4}
metadata: {centre: 4711, tags: [a, b], deep: {ü: null}}
keys:
  - name: ci
    owner: ci@example.org
    expires: 2030-01-31
    allowed_models: [test-model]
    budget: {daily_limit: 1, weekly_limit: 2, monthly_limit: 3}
    rate_limits: {requests_per_minute: 2, requests_per_day: 5, tokens_per_minute: 6, max_parallel_requests: 1}
"""
NAMES = ("acme", "beta", "frugal", "full", "gone", "hasty", "held", "p1", "p2", "payer")
# Each counts or pays in one test of the direct route, whose ledger remembers.
NAMES += ("again", "apart", "kept", "killed", "left", "mixed", "stranger")
NAMES += ("choosing-text", "choosing-image", "closed", "copied", "refused", "blended")
NAMES += ("once", "crowd", "freed", "purse", "poor-one", "poor-two", "guest", "counting", "counting-free")
KEYS = ("default", "ci", "alice")
NONE = State()


def key_of(tenant: str, name: str = "default") -> Secret:
    return secret_of(tenant, name)


def wanted(*files: str) -> State:
    return reconcile.wanted(*files, now=datetime.now(UTC))


@dataclass
class Tenants:
    """Plan and apply with the gateway, like the command line."""

    gateway: Gateway
    provider: LiteLLMTenants = field(init=False)

    def __post_init__(self) -> None:
        secrets = [key_of(tenant, name) for tenant in NAMES for name in KEYS]
        self.provider = LiteLLMTenants(self.gateway.client, {key_hash(secret): secret for secret in secrets})

    def plan(self, state: State, *, allow_delete: bool = False) -> Plan:
        return diff(state, self.provider.observe(), allow_delete=allow_delete)

    def apply(self, state: State, *, allow_delete: bool = False) -> Outcome:
        outcome = apply(self.plan(state, allow_delete=allow_delete), self.provider)
        if outcome.failed:
            raise outcome.failed[0][1]
        return outcome

    def rows(self) -> list[Any]:
        """Every team and key as the database has them, times of change and of reset included."""
        return [
            self.gateway.sql('SELECT to_jsonb(t) FROM "LiteLLM_TeamTable" t ORDER BY team_id'),
            self.gateway.sql('SELECT to_jsonb(k) FROM "LiteLLM_VerificationToken" k ORDER BY token'),
        ]
