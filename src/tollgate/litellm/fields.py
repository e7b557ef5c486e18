"""From our values to the fields of LiteLLM's requests: one function an object, and what differs between two of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tollgate.litellm import expiry, metadata
from tollgate.litellm.state import Budget, Key, Limits, Team

# Limits of LiteLLM's own that no tenant file sets, and what clears each. Set by hand they would hold beside ours, so
# they count as drift.
STRAY_TEAM_FIELDS: dict[str, Any] = {"tpd_limit": None}
STRAY_KEY_FIELDS: dict[str, Any] = {"tpd_limit": None, "max_parallel_requests": None}


def team_fields(team: Team) -> dict[str, Any]:
    return {
        "team_alias": team.name,
        "models": list(team.models),
        "blocked": team.blocked,
        "metadata": metadata.of_team(team),
        **_limits(team.limits),
    }


def key_fields(key: Key) -> dict[str, Any]:
    """All but `expires`, which LiteLLM wants as a length of time: see `expiry_field`."""
    return {
        "key_alias": key.alias,
        "team_id": key.team,
        "models": list(key.models),
        "allowed_routes": list(key.routes),
        "blocked": key.blocked,
        "metadata": metadata.of_key(key),
        **_limits(key.limits),
    }


def team_difference(before: Team, after: Team) -> dict[str, Any]:
    return {**_difference(team_fields(before), team_fields(after)), **_cleared(before, after, STRAY_TEAM_FIELDS)}


def key_difference(before: Key, after: Key, now: datetime) -> dict[str, Any]:
    fields = {**_difference(key_fields(before), key_fields(after)), **_cleared(before, after, STRAY_KEY_FIELDS)}
    return fields if before.expires == after.expires else {**fields, **expiry_field(after, now)}


def expiry_field(key: Key, now: datetime) -> dict[str, Any]:
    return {"duration": expiry.duration(key.expires, now)}


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The fields to send. An amount that changes goes alone: its duration, sent again, would move the next reset."""
    return {name: value for name, value in after.items() if before[name] != value}


def _cleared(before: Team | Key, after: Team | Key, strays: dict[str, Any]) -> dict[str, Any]:
    """What takes back `before.stray`: its columns one by one, metadata (which LiteLLM replaces whole) as ours."""
    if before.stray == after.stray:
        return {}
    found = {name for name, _ in before.stray}
    fields = {name: empty for name, empty in strays.items() if name in found}
    if found - strays.keys():
        fields["metadata"] = metadata.of_team(after) if isinstance(after, Team) else metadata.of_key(after)
    return fields


def _limits(limits: Limits) -> dict[str, Any]:
    return {
        "max_budget": limits.budget.usd if limits.budget else None,
        "budget_duration": limits.budget.duration if limits.budget else None,
        "budget_limits": [_window(window) for window in limits.windows],
        "rpm_limit": limits.requests_per_minute,
        "tpm_limit": limits.tokens_per_minute,
    }


def _window(window: Budget) -> dict[str, Any]:
    return {"budget_duration": window.duration, "max_budget": window.usd}
