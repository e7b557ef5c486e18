"""From LiteLLM's rows to our values, one rule for each quirk of its API, so that equal means nothing to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from tollgate.litellm import expiry
from tollgate.litellm.fields import STRAY_KEY_FIELDS, STRAY_TEAM_FIELDS
from tollgate.litellm.metadata import OWNER, Reader, pairs
from tollgate.litellm.state import EXPIRED, NO_LIMITS, Budget, Key, Limits, Names, Pairs, Team


def is_managed(row: Mapping[str, Any]) -> bool:
    """Whether an object carries our mark."""
    return bool(_metadata(row).get("managed_by") == OWNER)


def team(row: Mapping[str, Any]) -> Team:
    read = Reader(_metadata(row))
    return Team(
        id=row["team_id"],
        name=row.get("team_alias") or "",
        models=_names(row.get("models")),
        limits=_limits(row, read),
        owner=read.text("owner"),
        labels=read.labels(),
        blocked=_flag(row.get("blocked")),
        stray=_stray(row, read, STRAY_TEAM_FIELDS),
    )


def key(row: Mapping[str, Any], now: datetime) -> Key:
    """`now` decides what has expired."""
    read = Reader(_metadata(row))
    return Key(
        id=row["token"],
        team=row.get("team_id") or "",
        alias=row.get("key_alias") or "",
        name=read.text("name"),
        owner=read.text("owner"),
        models=_names(row.get("models")),
        routes=_names(row.get("allowed_routes")),
        limits=_limits(row, read),
        expires=expiry.observed(row.get("expires"), now),
        retiring=read.flag("retiring"),
        blocked=_flag(row.get("blocked")),
        stray=_stray(row, read, STRAY_KEY_FIELDS),
    )


def label(row: Mapping[str, Any]) -> str:
    """How a person knows an object that is not ours: its alias, or LiteLLM's abbreviation of a key."""
    return row.get("team_alias") or row.get("key_alias") or row.get("key_name") or ""


def reset_is_due(row: Mapping[str, Any], now: datetime) -> bool:
    """Whether a window has ended that LiteLLM has not reopened yet."""
    resets = (window.get("reset_at") for window in _json(row.get("budget_limits"), []))
    return any(expiry.observed(reset, now) == EXPIRED for reset in resets)


def _metadata(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """`metadata` can be null, and a JSON string in some list answers."""
    found = _json(row.get("metadata"), {})
    return found if isinstance(found, Mapping) else {}


def _limits(row: Mapping[str, Any], read: Reader) -> Limits:
    # A budget of null is no budget, whatever its duration says: LiteLLM keeps a duration when the amount is cleared.
    amount = row.get("max_budget")
    limits = Limits(
        budget=None if amount is None else Budget(float(amount), _duration(row.get("budget_duration"))),
        windows=_windows(row.get("budget_limits")),
        requests_per_minute=row.get("rpm_limit"),
        tokens_per_minute=row.get("tpm_limit"),
        **read.limits(),
    )
    return NO_LIMITS if limits == NO_LIMITS else limits


def _windows(value: Any) -> tuple[Budget, ...]:
    """`budget_limits` is null, [] or a list; keys have it as a JSON string. `reset_at` is LiteLLM's own bookkeeping."""
    entries = _json(value, [])
    return tuple(sorted(Budget(float(entry["max_budget"]), _duration(entry["budget_duration"])) for entry in entries))


def _duration(value: str | None) -> str | None:
    """LiteLLM's words for durations; `24h` is what we write as `1d`. Its `monthly` is `30d`, and that is not `1mo`."""
    return {"24h": "1d", "daily": "1d", "weekly": "7d", "monthly": "30d"}.get(value or "", value)


def _names(value: Any) -> Names:
    """Lists keep the order they were given, which means nothing: compare them sorted. Null is the empty list."""
    return _sorted(tuple(_json(value, ())))


@lru_cache(maxsize=1024)
def _sorted(names: Names) -> Names:
    """Thousands of keys have the same few lists: one copy of each."""
    return tuple(sorted(names))


def _stray(row: Mapping[str, Any], read: Reader, columns: Mapping[str, Any]) -> Pairs:
    """What somebody set that a tenant file cannot say, in metadata and in columns."""
    found = {name: row[name] for name in columns if row.get(name) not in (None, {}, "{}")}
    return tuple(sorted((*read.stray(), *pairs(found))))


def _flag(value: Any) -> bool:
    """`blocked` is null until the first time someone blocks the object."""
    return bool(value)


def _json(value: Any, empty: Any) -> Any:
    """Columns of type JSON arrive decoded from some endpoints and as text from others."""
    decoded = json.loads(value) if isinstance(value, str) else value
    return empty if decoded is None else decoded
