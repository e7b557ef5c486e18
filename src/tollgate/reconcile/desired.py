"""From tenant files to the teams and keys that LiteLLM should have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from tollgate.config.secret import Secret
from tollgate.config.tenant.model import Budget as FileBudget
from tollgate.config.tenant.model import ModelBudget, RateLimits, Tenant, TenantKey, Windows
from tollgate.limits import BUDGETS, DURATIONS, RATES
from tollgate.litellm import expiry
from tollgate.litellm.metadata import pairs
from tollgate.litellm.state import TEAMS_MODELS, Budget, Key, Limits, State, Team

KeyName = tuple[str, str]  # the tenant's id, and the key's name in its file
NEW = "(new)"


def desired(tenants: Iterable[Tenant], keys: Mapping[KeyName, Secret], now: datetime) -> State:
    """For each tenant one team and its keys. `keys` has their plain texts; a key that does not exist yet is `(new)`.

    `now` decides which keys have expired.
    """
    teams: dict[str, Team] = {}
    by_id: dict[str, Key] = {}
    for tenant in tenants:
        teams[tenant.id] = team(tenant)
        for named in tenant.all_keys:
            wanted = key(tenant, named, keys.get((tenant.id, named.name)), now)
            by_id[wanted.id] = wanted
    return State(teams, by_id)


def team(tenant: Tenant) -> Team:
    """The team has the tenant's limits. So all keys share them, and a new key adds no budget."""
    return Team(
        id=tenant.id,
        name=tenant.tenant.name or tenant.id,
        models=tuple(sorted(tenant.models or ())),
        limits=_limits(tenant.budget, tenant.rate_limits),
        owner=tenant.tenant.owner,
        labels=pairs(tenant.metadata),
        blocked=tenant.suspended,
        show_keys=tenant.show_keys,
    )


def key(tenant: Tenant, named: TenantKey, secret: Secret | None, now: datetime) -> Key:
    """One key of a tenant.

    If a tenant is suspended, each of its keys is blocked as well as its team: every replica learns of a blocked key at
    once, but not of a blocked team (docs/facts.md 9).
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
    """The key as LiteLLM will have it.

    LiteLLM allows each alias only once, and during a rotation the old and the new key have one name. So the alias ends
    with the first digits of the hash.
    """
    digest = key_hash(secret)
    return replace(key, id=digest, alias=f"{key.team}/{key.name}/{digest[:8]}")


def key_hash(secret: Secret) -> str:
    """The hash by which LiteLLM stores and finds a key. It is safe to show: our keys are 256 random bits."""
    return hashlib.sha256(secret.reveal().encode()).hexdigest()


def _limits(budget: Windows, rate: RateLimits) -> Limits:
    of_team = budget if isinstance(budget, FileBudget) else FileBudget()  # a key has only windows
    return Limits(
        **{limit.name: getattr(budget, limit.name) for limit in BUDGETS},
        **{limit.name: getattr(rate, limit.name) for limit in RATES},
        soft_limit=of_team.soft_limit,
        per_model=tuple(sorted((model, _caps(caps)) for model, caps in of_team.per_model.items() if _caps(caps))),
    )


def _caps(caps: ModelBudget) -> tuple[Budget, ...]:
    """A budget for each window that has an amount."""
    amounts = ((getattr(caps, limit.name, None), DURATIONS[limit.window]) for limit in BUDGETS)
    return tuple(sorted(Budget(usd, duration) for usd, duration in amounts if usd is not None))
