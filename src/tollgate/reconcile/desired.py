"""From tenant files to the teams and keys LiteLLM should have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from tollgate.config.secret import Secret
from tollgate.config.tenant_model import Budget as FileBudget
from tollgate.config.tenant_model import ModelBudget, RateLimits, Tenant, TenantKey, Windows
from tollgate.litellm import expiry
from tollgate.litellm.metadata import pairs
from tollgate.litellm.state import DAY, MONTH, TEAMS_MODELS, WEEK, Budget, Key, Limits, State, Team

KeyName = tuple[str, str]  # of a tenant's id and what the tenant calls the key
NEW = "(new)"


def desired(tenants: Iterable[Tenant], keys: Mapping[KeyName, Secret], now: datetime) -> State:
    """One team a tenant and its keys, whose plain texts are in `keys`. One that is not made yet is called `(new)`.

    `now` decides which keys have expired.
    """
    teams: dict[str, Team] = {}
    made: dict[str, Key] = {}
    for tenant in tenants:
        teams[tenant.id] = team(tenant)
        for named in tenant.all_keys:
            one = key(tenant, named, keys.get((tenant.id, named.name)), now)
            made[one.id] = one
    return State(teams, made)


def team(tenant: Tenant) -> Team:
    """A tenant's limits hang on its team, so that all its keys share them and a new key is no new budget."""
    return Team(
        id=tenant.id,
        name=tenant.tenant.name or tenant.id,
        models=tuple(sorted(tenant.models or ())),
        limits=_limits(tenant.budget, tenant.rate_limits),
        owner=tenant.tenant.owner,
        labels=pairs(tenant.metadata),
        blocked=tenant.suspended,
    )


def key(tenant: Tenant, named: TenantKey, secret: Secret | None, now: datetime) -> Key:
    """One key of a tenant.

    A suspended tenant's keys are blocked one by one beside its team, because that is what every replica obeys at once
    (docs/facts.md 9).
    """
    unmade = f"{tenant.id}/{named.name}/{NEW}"
    models = tenant.models_of(named)
    wanted = Key(
        id=unmade,
        team=tenant.id,
        alias=unmade,
        name=named.name,
        owner=named.owner,
        models=(TEAMS_MODELS,) if models is None else tuple(sorted(models)),
        limits=_limits(named.budget, named.rate_limits),
        expires=None if named.expires is None else expiry.wanted(named.expires, now),
        blocked=tenant.suspended,
    )
    return identified(wanted, secret) if secret else wanted


def identified(key: Key, secret: Secret) -> Key:
    """The key as LiteLLM will know it.

    LiteLLM wants aliases unique over everything, so the alias ends in the hash's beginning: while a key is rotated the
    old and the new one live side by side under one name.
    """
    digest = key_hash(secret)
    return replace(key, id=digest, alias=f"{key.team}/{key.name}/{digest[:8]}")


def key_hash(secret: Secret) -> str:
    """What LiteLLM stores of a key and knows it by. Safe to show: our keys are 256 random bits."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _limits(budget: Windows, rate: RateLimits) -> Limits:
    """The month is the main budget: inside `windows` it drifts (docs/facts.md 3). Days and weeks are safe there."""
    of_team = budget if isinstance(budget, FileBudget) else FileBudget()  # a key has windows only
    return Limits(
        budget=None if budget.monthly_limit is None else Budget(budget.monthly_limit, MONTH),
        windows=_budgets((budget.daily_limit, DAY), (budget.weekly_limit, WEEK)),
        requests_per_minute=rate.requests_per_minute,
        tokens_per_minute=rate.tokens_per_minute,
        requests_per_hour=rate.requests_per_hour,
        requests_per_day=rate.requests_per_day,
        max_parallel_requests=rate.max_parallel_requests,
        soft_limit=of_team.soft_limit,
        per_model=tuple(sorted((model, _caps(caps)) for model, caps in of_team.per_model.items() if _caps(caps))),
    )


def _caps(caps: ModelBudget) -> tuple[Budget, ...]:
    return _budgets((caps.daily_limit, DAY), (caps.monthly_limit, MONTH))


def _budgets(*amounts: tuple[float | None, str]) -> tuple[Budget, ...]:
    return tuple(sorted(Budget(usd, duration) for usd, duration in amounts if usd is not None))
