"""From LiteLLM's rows to our values, one rule for each quirk of its API, so that equal means nothing to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tollgate.litellm.state import Budget, Key, Limits, Team

OWNER = "tollgate"
MARK: Mapping[str, Any] = {"metadata": {"managed_by": OWNER}}


def is_managed(row: Mapping[str, Any]) -> bool:
    """Whether an object carries our mark. `metadata` can be null, and a JSON string in some list answers."""
    return bool(_json(row.get("metadata"), {}).get("managed_by") == OWNER)


def team(row: Mapping[str, Any]) -> Team:
    return Team(
        id=row["team_id"],
        name=row.get("team_alias") or "",
        models=_names(row.get("models")),
        limits=_limits(row),
        blocked=_flag(row.get("blocked")),
    )


def key(row: Mapping[str, Any]) -> Key:
    return Key(
        id=row["token"],
        team=row.get("team_id") or "",
        alias=row.get("key_alias") or "",
        models=_names(row.get("models")),
        routes=_names(row.get("allowed_routes")),
        limits=_limits(row),
        blocked=_flag(row.get("blocked")),
    )


def _limits(row: Mapping[str, Any]) -> Limits:
    # A budget of null is no budget, whatever its duration says: LiteLLM keeps a duration when the amount is cleared.
    amount = row.get("max_budget")
    return Limits(
        budget=None if amount is None else Budget(float(amount), _duration(row.get("budget_duration"))),
        windows=_windows(row.get("budget_limits")),
        requests_per_minute=row.get("rpm_limit"),
        tokens_per_minute=row.get("tpm_limit"),
    )


def _windows(value: Any) -> tuple[Budget, ...]:
    """`budget_limits` is null, [] or a list; keys have it as a JSON string. `reset_at` is LiteLLM's own bookkeeping."""
    entries = _json(value, [])
    return tuple(sorted(Budget(float(entry["max_budget"]), _duration(entry["budget_duration"])) for entry in entries))


def _duration(value: str | None) -> str | None:
    """`24h` and `daily` mean what we write as `1d`; `monthly` is `1mo`. `30d` is not: it is safe where `1mo` is not."""
    return {"24h": "1d", "daily": "1d", "monthly": "1mo"}.get(value or "", value)


def _names(value: Any) -> tuple[str, ...]:
    """Lists keep the order they were given, which means nothing: compare them sorted. Null is the empty list."""
    return tuple(sorted(_json(value, [])))


def _flag(value: Any) -> bool:
    """`blocked` is null until the first time someone blocks the object."""
    return bool(value)


def _json(value: Any, empty: Any) -> Any:
    """Columns of type JSON arrive decoded from some endpoints and as text from others."""
    decoded = json.loads(value) if isinstance(value, str) else value
    return empty if decoded is None else decoded
