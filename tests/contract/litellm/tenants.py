"""Tenant files, their keys, and plan and apply against the gateway as the command line does them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.litellm.gateway import Gateway
from tollgate.config.secret import Secret
from tollgate.config.tenants import parse
from tollgate.litellm.provider import Provider
from tollgate.litellm.state import State
from tollgate.reconcile.apply import Outcome, apply
from tollgate.reconcile.desired import desired, key_hash
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
NAMES = ("acme", "beta", "frugal", "gone", "hasty")
NONE = State()


def key_of(tenant: str) -> Secret:
    return Secret(f"sk-{tenant}-0123456789abcdef0123456789abcdef")


def wanted(*files: str) -> State:
    tenants = [parse(text, Path("tenants/x.yaml")) for text in files]
    return desired(tenants, {tenant.id: key_of(tenant.id) for tenant in tenants})


@dataclass
class Tenants:
    """Plan and apply against the gateway, as the command line does."""

    gateway: Gateway
    provider: Provider = field(init=False)

    def __post_init__(self) -> None:
        secrets = [key_of(name) for name in NAMES]
        self.provider = Provider(self.gateway.client, {key_hash(secret): secret for secret in secrets})

    def plan(self, state: State, *, allow_delete: bool = False) -> Plan:
        return diff(state, self.provider.observe(), allow_delete=allow_delete)

    def apply(self, state: State, *, allow_delete: bool = False) -> Outcome:
        outcome = apply(self.plan(state, allow_delete=allow_delete), self.provider)
        if outcome.error:
            raise outcome.error
        return outcome

    def rows(self) -> list[Any]:
        """Every team and key as the database has them, times of change and of reset included."""
        return [
            self.gateway.sql('SELECT to_jsonb(t) FROM "LiteLLM_TeamTable" t ORDER BY team_id'),
            self.gateway.sql('SELECT to_jsonb(k) FROM "LiteLLM_VerificationToken" k ORDER BY token'),
        ]
