"""LiteLLM's rows as our values. One rule per quirk of its API makes equal objects compare equal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from tollgate.litellm import expiry
from tollgate.litellm.fields import STRAY_KEY_FIELDS, STRAY_TEAM_FIELDS
from tollgate.litellm.metadata import OWNER, Reader, pairs
from tollgate.litellm.state import NO_LIMITS, Key, Limits, Names, Pairs, Team


def is_managed(row: Mapping[str, Any]) -> bool:
    """Whether an object carries our mark."""
    return bool(_metadata(row).get("managed_by") == OWNER)


def team(row: Mapping[str, Any]) -> Team:
    read = Reader(_metadata(row))
    return Team(
        id=row["team_id"],
        name=row.get("team_alias") or "",
        models=_names(row.get("models")),
        limits=_limits(read),
        owner=read.text("owner"),
        labels=read.labels(),
        blocked=_flag(row.get("blocked")),
        show_keys=read.flag("show_keys"),
        stray=_stray(row, read, STRAY_TEAM_FIELDS),
    )


def key(row: Mapping[str, Any], now: datetime) -> Key:
    """One row as a key. Times up to `now` count as expired."""
    read = Reader(_metadata(row))
    return Key(
        id=row["token"],
        team=row.get("team_id") or "",
        alias=row.get("key_alias") or "",
        name=read.text("name"),
        owner=read.text("owner"),
        models=_names(row.get("models")),
        routes=_names(row.get("allowed_routes")),
        limits=_limits(read),
        expires=expiry.observed(row.get("expires"), now),
        retiring=read.flag("retiring"),
        blocked=_flag(row.get("blocked")),
        stray=_stray(row, read, STRAY_KEY_FIELDS),
    )


def label(row: Mapping[str, Any]) -> str:
    """The name that people use for an object that is not ours: its alias, or LiteLLM's abbreviated key."""
    return row.get("team_alias") or row.get("key_alias") or row.get("key_name") or ""


def _metadata(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """`metadata` can be null, and a JSON string in some list answers."""
    metadata = _json(row.get("metadata"), {})
    return metadata if isinstance(metadata, Mapping) else {}


def _limits(read: Reader) -> Limits:
    limits = Limits(**read.limits())
    return NO_LIMITS if limits == NO_LIMITS else limits


def _names(value: Any) -> Names:
    """A list of names, sorted because LiteLLM's order means nothing. Null is the empty list."""
    return _sorted(tuple(_json(value, ())))


@lru_cache(maxsize=1024)
def _sorted(names: Names) -> Names:
    """Cached, because thousands of keys have the same few lists."""
    return tuple(sorted(names))


def _stray(row: Mapping[str, Any], read: Reader, columns: Mapping[str, Any]) -> Pairs:
    """Values in metadata and columns that no tenant file can set."""
    values = {name: _json(row.get(name), None) for name in columns}
    set_columns = {name: _without_times(value) for name, value in values.items() if value not in (None, {}, [])}
    return tuple(sorted((*read.stray(), *pairs(set_columns))))


def _without_times(value: Any) -> Any:
    """LiteLLM writes the next reset into each budget window. A plan that changed with it would never be the same."""
    if not isinstance(value, list):
        return value
    return [
        {name: entry[name] for name in entry if name != "reset_at"} if isinstance(entry, dict) else entry
        for entry in value
    ]


def _flag(value: Any) -> bool:
    """`blocked` is null until the object is blocked for the first time."""
    return bool(value)


def _json(value: Any, empty: Any) -> Any:
    """Some endpoints return JSON columns decoded, others return them as text."""
    decoded = json.loads(value) if isinstance(value, str) else value
    return empty if decoded is None else decoded
