"""The caller: a virtual key with its team, from the rows of LiteLLM's tables that `tollgate apply` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tollgate.services.limits.rule import Rule
from tollgate.services.limits.rules import rules_of, space_of, unread

OWNER = "tollgate"
# The fields of metadata that `tollgate apply` writes. Any other field there is an option of LiteLLM's.
_TEAM_METADATA = frozenset({"managed_by", "limits", "labels", "owner", "show_keys", "team_member_budget_id"})
_KEY_METADATA = frozenset({"managed_by", "name", "owner", "limits", "retiring", "service_account_id"})
# Columns that a tenant file cannot set. If one has a value, somebody made the key by hand and LiteLLM must serve it.
LITELLM_OPTIONS = (
    "aliases",
    "config",
    "permissions",
    "model_max_budget",
    "budget_id",
    "organization_id",
    "object_permission_id",
    "access_group_ids",
    "policies",
    "router_settings",
    "tpd_limit",
)
ALL_TEAM_MODELS, ALL_PROXY_MODELS = "all-team-models", "all-proxy-models"


@dataclass(frozen=True)
class Caller:
    """`token` is LiteLLM's hash of the key. `reason` is why LiteLLM must serve this key, as a word for metrics.

    `models` is None if the tenant may use every model. `rules` are its limits and those of its tenant. `space` begins
    the name of all that Redis keeps for this tenant. `soft_limit` is in USD. `show_keys`: the keys of a tenant see each
    other's names and spend.
    """

    token: str
    tenant: str
    key_name: str
    owner: str
    models: frozenset[str] | None
    routes: tuple[str, ...]
    reason: str
    expires: datetime | None
    blocked: bool
    suspended: bool
    rules: tuple[Rule, ...]
    key_alias: str = ""
    user: str = ""
    operator: bool = False
    tenant_name: str = ""
    space: str = field(default="", repr=False)
    soft_limit: Decimal | None = None
    show_keys: bool = False

    def closed_at(self, now: datetime) -> bool:
        """Whether the key opens nothing at `now`: blocked or expired, or its tenant is suspended."""
        return self.blocked or self.suspended or self.expired_at(now)

    def expired_at(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now

    @property
    def closed(self) -> bool:
        return self.closed_at(datetime.now(UTC))

    def may_use(self, *names: str) -> bool:
        """Whether one of these names of a model, its aliases included, is allowed to this key and its tenant."""
        return self.models is None or not self.models.isdisjoint(names)


OPERATOR = Caller("", "", "", "", None, (), "operator", None, False, False, (), operator=True)


def of_rows(key: Mapping[str, Any], team: Mapping[str, Any] | None) -> Caller:
    """`key` is a row of LiteLLM_VerificationToken, `team` the row of its team, if it has one."""
    team = team or {}
    metadata, team_metadata = _object(key.get("metadata")), _object(team.get("metadata"))
    return Caller(
        token=str(key["token"]),
        tenant=str(team.get("team_id") or ""),
        key_name=str(metadata.get("name") or str(key.get("key_alias") or "").rpartition("/")[0] or "unnamed"),
        owner=str(team_metadata.get("owner") or ""),
        models=_allowed(key.get("models") or (), team.get("models") or ()),
        routes=tuple(key.get("allowed_routes") or ()),
        reason=_why_litellm(key, team, metadata, team_metadata),
        expires=_utc(key.get("expires")),
        blocked=bool(key.get("blocked")),
        suspended=bool(team.get("blocked")),
        rules=rules_of(team, key),
        key_alias=str(key.get("key_alias") or ""),
        user=str(key.get("user_id") or ""),
        tenant_name=str(team.get("team_alias") or team.get("team_id") or ""),
        space=space_of(team, key),
        soft_limit=_money(_object(team_metadata.get("limits")).get("soft_limit")),
        show_keys=team_metadata.get("show_keys") is True,
    )


def _why_litellm(
    key: Mapping[str, Any], team: Mapping[str, Any], metadata: Mapping[str, Any], team_metadata: Mapping[str, Any]
) -> str:
    if not team or metadata.get("managed_by") != OWNER or team_metadata.get("managed_by") != OWNER:
        return "foreign_key"
    if metadata.keys() - _KEY_METADATA or team_metadata.keys() - _TEAM_METADATA:
        return "foreign_key"
    if any(row.get(option) for row in (key, team) for option in LITELLM_OPTIONS):
        return "foreign_key"
    return "limit" if unread(team, key) else ""


def _allowed(key: Any, team: Any) -> frozenset[str] | None:
    """LiteLLM's rule: an empty list means all. `all-team-models` on a key means those of its team."""
    sets = [
        frozenset(str(name) for name in names)
        for names in (key, team)
        if names and ALL_TEAM_MODELS not in names and ALL_PROXY_MODELS not in names
    ]
    return frozenset.intersection(*sets) if sets else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _money(value: Any) -> Decimal | None:
    return Decimal(str(value)) if type(value) in (int, float) and math.isfinite(value) else None


def _utc(value: Any) -> datetime | None:
    """LiteLLM stores times in UTC without a zone."""
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
