"""The names of a caller for messages, from LiteLLM's UserAPIKeyAuth."""

from __future__ import annotations

from typing import Any


def tenant_name(caller: Any) -> str:
    return str(getattr(caller, "team_id", None) or "")


def key_name(caller: Any) -> str:
    """The key's name from the tenant's file, or from its alias. Never the hash."""
    return str((caller.metadata or {}).get("name") or str(caller.key_alias or "").rpartition("/")[0] or "unnamed")


def owner(caller: Any) -> str:
    """The e-mail address of `owner` in the tenant's file; empty if it has none."""
    return str((caller.team_metadata or {}).get("owner") or "")
