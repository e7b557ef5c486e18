"""The limits of a tenant and a key, read from `metadata.limits` of LiteLLM's rows into rules that are cheap to apply.

`tollgate apply` writes every limit there. LiteLLM's own fields are LiteLLM's: a key that was made by hand may use them.
`unread` names each limit that is set and that this module cannot hold. A gateway process hands a key with such a limit
to LiteLLM.

Owners of counters:
- A tenant's counters belong to its team's id and to the time the team was created. A tenant that is deleted and created
  again under the same name is a new tenant. It starts at zero in every window, and only what was spent since then
  counts (`Holder.created`). This rule is the same for minutes, days and months.
- A key's counters belong to its tenant and to the key's name in the tenant's file. The old and the new key of a
  rotation share them. A key that no file names is known by its hash.

No text of a client gets into the name of a counter. Ids, key names and model names are hashed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from tollgate.services.limits.rule import KEY, MONEY, NANO, PARALLEL, REQUESTS, TENANT, TOKENS, Holder, Rule
from tollgate.services.limits.windows import OF_DURATION

Row = Mapping[str, Any]

OURS = "tollgate"

# Names in metadata.limits: those of the tenant's file.
_NAMES = {
    "requests_per_minute": (REQUESTS, "minute"),
    "requests_per_hour": (REQUESTS, "hour"),
    "requests_per_day": (REQUESTS, "day"),
    "tokens_per_minute": (TOKENS, "minute"),
    "max_parallel_requests": (PARALLEL, ""),
    "daily_limit": (MONEY, "day"),
    "weekly_limit": (MONEY, "week"),
    "monthly_limit": (MONEY, "month"),
}
# A soft limit refuses nothing. `per_model` is read by itself.
_REFUSES_NOTHING = {"soft_limit", "per_model"}
# Limits that only LiteLLM holds.
_LITELLMS_COLUMNS = (
    "rpm_limit",
    "tpm_limit",
    "tpd_limit",
    "max_parallel_requests",
    "max_budget",
    "budget_limits",
    "model_max_budget",
)
_LITELLMS_METADATA = ("model_rpm_limit", "model_tpm_limit", "model_max_budget")
_EMPTY: tuple[object, ...] = (None, {}, [])
# The order in which rules are asked. A client is told the refusal that holds longest.
_WINDOWS = ("month", "week", "day", "hour", "minute", "")
_KINDS = (MONEY, REQUESTS, TOKENS, PARALLEL)


class _Set(NamedTuple):
    """One limit as a row sets it. `window` is None if we do not know its length."""

    name: str
    kind: str
    window: str | None
    model: str
    value: Any


def rules_of(team: Row | None, key: Row | None) -> tuple[Rule, ...]:
    """Every rule for requests of this key, the longest window first."""
    tenant = space_of(team, key)
    rules = [*_rules(team, _team_holder(team), tenant), *_rules(key, _key_holder(team, key), tenant)]
    return tuple(sorted(rules, key=_order))


def unread(team: Row | None, key: Row | None) -> tuple[str, ...]:
    """Names of limits that are set and that no rule holds: an unknown window or name, or no number above zero."""
    return tuple(dict.fromkeys(name for row in (team, key) if row for name in _unread(row)))


def _rules(row: Row | None, holder: Holder, tenant: str) -> Iterator[Rule]:
    if not row:
        return
    smallest: dict[tuple[str, str, str], int] = {}  # `1d` and `24h` are one window
    for limit in _limits(row):
        amount = _amount(limit)
        if limit.window is not None and amount:
            same = (limit.kind, limit.window, limit.model)
            smallest[same] = min(amount, smallest.get(same, amount))
    identity = f"name {holder.name}" if holder.named else f"hash {holder.token}"
    whose = TENANT if holder.kind == TENANT else f"{KEY}.{_digest(identity, size=8)}"
    for (what, window, model), amount in smallest.items():
        of = f".{_digest(model, size=8)}" if model else ""
        prefix = f"{tenant}{whose}:{what}{of}" + (f":{window}:" if window else "")
        yield Rule(holder, what, amount, window, model, tenant, prefix)


def _unread(row: Row) -> Iterator[str]:
    for limit in _limits(row):
        if limit.value is not None and (limit.window is None or not _amount(limit)):
            yield limit.name
    metadata = _metadata(row)
    limits = metadata.get("limits")
    if limits is not None and not isinstance(limits, Mapping):
        yield "limits"
    for name, value in limits.items() if isinstance(limits, Mapping) else ():
        if value is not None and name not in _NAMES and name not in _REFUSES_NOTHING:
            yield f"limits.{name}"
    yield from (name for name in _LITELLMS_COLUMNS if _json(row.get(name)) not in _EMPTY)
    yield from (f"metadata.{name}" for name in _LITELLMS_METADATA if metadata.get(name) not in _EMPTY)


def _limits(row: Row) -> Iterator[_Set]:
    """Every limit that a row sets, also one that makes no sense."""
    limits = _metadata(row).get("limits")
    limits = limits if isinstance(limits, Mapping) else {}
    for name, (kind, window) in _NAMES.items():
        yield _Set(f"limits.{name}", kind, window, "", limits.get(name))
    yield from _per_model(limits.get("per_model"))


def _amount(limit: _Set) -> int | None:
    """The limit as a whole number, money in nano-dollars. 0 if it is no number above zero, None if it is not set."""
    value = limit.value
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return 0
    return max(1, round(value * NANO)) if limit.kind == MONEY else math.ceil(value)


def _per_model(value: Any) -> Iterator[_Set]:
    if value is None:
        return
    for model, budgets in value.items() if isinstance(value, Mapping) else (("", 0),):
        for duration, amount in budgets.items() if isinstance(budgets, Mapping) else (("", 0),):
            yield _Set("limits.per_model", MONEY, _window(duration), str(model), amount)


def _window(duration: Any) -> str | None:
    return OF_DURATION.get(duration) if isinstance(duration, str) else None


def _team_holder(team: Row | None) -> Holder:
    row = team or {}
    identity = str(row.get("team_id") or "")
    return Holder(TENANT, identity, identity, created=_moment(row.get("created_at")))


def _key_holder(team: Row | None, key: Row | None) -> Holder:
    row = key or {}
    metadata = _metadata(row)
    written = metadata.get("name")
    named = metadata.get("managed_by") == OURS and isinstance(written, str) and written != ""
    name = str(written or str(row.get("key_alias") or "").rpartition("/")[0] or "unnamed")
    created = _moment((team or {}).get("created_at"))
    return Holder(KEY, str((team or {}).get("team_id") or ""), name, str(row.get("token") or ""), named, created)


def space_of(team: Row | None, key: Row | None) -> str:
    """Begins the name of everything Redis keeps for a tenant. The part in braces is its hash tag, so that one script
    may use all of it in a cluster. A key without a team stands for itself."""
    holder = _team_holder(team)
    born = "" if holder.created is None else str(int(holder.created.timestamp() * 1000))
    token = "" if holder.tenant else str((key or {}).get("token") or "")
    return f"tollgate:{{{_digest(holder.tenant, born, token, size=16)}}}:"


def _order(rule: Rule) -> tuple[int, int, str, str]:
    return _KINDS.index(rule.kind), _WINDOWS.index(rule.window), rule.model, rule.holder.kind


def _digest(*words: str, size: int) -> str:
    return blake2b("\0".join(words).encode(), digest_size=size).hexdigest()


def _moment(value: Any) -> datetime | None:
    """A column of Postgres, or the same as text. A time without a zone is UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value


def _metadata(row: Row) -> Row:
    metadata = _json(row.get("metadata"))
    return metadata if isinstance(metadata, Mapping) else {}


def _json(value: Any) -> Any:
    """JSON columns arrive decoded or as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
