"""From tenant files to the teams and keys LiteLLM should have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from tollgate.config.secret import Secret
from tollgate.config.tenants import Tenant
from tollgate.litellm.state import DAY, MONTH, Budget, Key, Limits, State, Team

DEFAULT_KEY = "default"


def desired(tenants: Iterable[Tenant], keys: Mapping[str, Secret]) -> State:
    """One team a tenant, and one key, whose plain text is `keys[tenant.id]`. Raises KeyError where that is missing."""
    teams = [team(tenant) for tenant in tenants]
    made = [key(one.id, DEFAULT_KEY, keys[one.id]) for one in teams]
    return State({one.id: one for one in teams}, {one.id: one for one in made})


def team(tenant: Tenant) -> Team:
    """A tenant's limits hang on its team, so that all its keys share them and a new key is no new budget."""
    daily, monthly = tenant.budget.daily_limit, tenant.budget.monthly_limit
    limits = Limits(
        # Monthly is the main budget: inside `windows` a month drifts (docs/facts.md 3). Daily is the window: a team has
        # one main budget, and putting it on the key instead would give each further key a day's budget of its own.
        budget=None if monthly is None else Budget(monthly, MONTH),
        windows=() if daily is None else (Budget(daily, DAY),),
        requests_per_minute=tenant.rate_limits.requests_per_minute,
        tokens_per_minute=tenant.rate_limits.tokens_per_minute,
    )
    models = tuple(sorted(tenant.models or ()))
    return Team(id=tenant.id, name=tenant.tenant.name or tenant.id, models=models, limits=limits)


def key(tenant_id: str, name: str, secret: Secret) -> Key:
    """The key `name` of a tenant.

    LiteLLM wants aliases unique over everything, so the alias ends in the hash's beginning: while a key is rotated the
    old and the new one live side by side under one name.
    """
    digest = key_hash(secret)
    return Key(id=digest, team=tenant_id, alias=f"{tenant_id}/{name}/{digest[:8]}")


def key_hash(secret: Secret) -> str:
    """What LiteLLM stores of a key and knows it by. Safe to show: our keys are 256 random bits."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()
