"""Our values as fields of LiteLLM's requests: all fields of an object, or only those that differ between two."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tollgate.litellm import expiry, metadata
from tollgate.litellm.state import Key, Team

# LiteLLM's own limits, with the value that clears each. LiteLLM would count them apart from ours, so they are drift.
# Earlier versions wrote budgets, requests and tokens a minute there.
STRAY_TEAM_FIELDS: dict[str, Any] = {
    "max_budget": None,
    "budget_limits": [],
    "rpm_limit": None,
    "tpm_limit": None,
    "tpd_limit": None,
}
STRAY_KEY_FIELDS: dict[str, Any] = {**STRAY_TEAM_FIELDS, "max_parallel_requests": None}


def team_fields(team: Team) -> dict[str, Any]:
    return {
        "team_alias": team.name,
        "models": list(team.models),
        "blocked": team.blocked,
        "metadata": metadata.of_team(team),
    }


def key_fields(key: Key) -> dict[str, Any]:
    """All fields except `expires`, which LiteLLM accepts only as a duration: see `expiry_field`."""
    return {
        "key_alias": key.alias,
        "team_id": key.team,
        "models": list(key.models),
        "allowed_routes": list(key.routes),
        "blocked": key.blocked,
        "metadata": metadata.of_key(key),
    }


def team_difference(before: Team, after: Team) -> dict[str, Any]:
    return {**_difference(team_fields(before), team_fields(after)), **_cleared(before, after, STRAY_TEAM_FIELDS)}


def key_difference(before: Key, after: Key, now: datetime) -> dict[str, Any]:
    fields = {**_difference(key_fields(before), key_fields(after)), **_cleared(before, after, STRAY_KEY_FIELDS)}
    return fields if before.expires == after.expires else {**fields, **expiry_field(after, now)}


def expiry_field(key: Key, now: datetime) -> dict[str, Any]:
    return {"duration": expiry.duration(key.expires, now)}


def _difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in after.items() if before[name] != value}


def _cleared(before: Team | Key, after: Team | Key, strays: dict[str, Any]) -> dict[str, Any]:
    """The fields that remove `before.stray`: columns by their own fields, metadata as a whole (LiteLLM replaces it)."""
    if before.stray == after.stray:
        return {}
    names = {name for name, _ in before.stray}
    fields = {name: empty for name, empty in strays.items() if name in names}
    if "max_budget" in fields:
        fields["budget_duration"] = None
    if names - strays.keys():
        fields["metadata"] = metadata.of_team(after) if isinstance(after, Team) else metadata.of_key(after)
    return fields
