"""From our values to the fields of LiteLLM's requests: one function an object, and what differs between two of them."""

from __future__ import annotations

from typing import Any

from tollgate.litellm.state import Budget, Key, Limits, Team


def team_fields(team: Team) -> dict[str, Any]:
    return {
        "team_alias": team.name,
        "models": list(team.models),
        "blocked": team.blocked,
        **_limits(team.limits),
    }


def key_fields(key: Key) -> dict[str, Any]:
    return {
        "key_alias": key.alias,
        "team_id": key.team,
        "models": list(key.models),
        "allowed_routes": list(key.routes),
        "blocked": key.blocked,
        **_limits(key.limits),
    }


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The fields to send. An amount that changes goes alone: its duration, sent again, would move the next reset."""
    return {name: value for name, value in after.items() if before[name] != value}


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
