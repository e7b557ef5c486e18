"""The metadata of our teams and keys, written and read: our mark, and what LiteLLM has no field for.

    team  {managed_by, limits, labels, owner}        key  {managed_by, name, owner, limits, retiring}

The replicas' hook reads `limits` (services/hooks/); a field that is absent means none. What stands here beside these
names, or not in the form we write it in, is somebody else's and comes out as `stray`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tollgate.litellm.state import Budget, Key, Limits, Pairs, Team

OWNER = "tollgate"
REDACTED = "(redacted)"
_COUNTS = ("requests_per_hour", "requests_per_day", "max_parallel_requests")
# LiteLLM writes these itself and lets nobody change them.
_ITS_OWN = frozenset({"team_member_budget_id", "service_account_id"})


def of_team(team: Team) -> dict[str, Any]:
    labels = {name: json.loads(value) for name, value in team.labels}
    return _without_empty({"managed_by": OWNER, "limits": _limits(team.limits), "labels": labels, "owner": team.owner})


def of_key(key: Key) -> dict[str, Any]:
    written = {"managed_by": OWNER, "name": key.name, "owner": key.owner, "limits": _limits(key.limits)}
    return _without_empty({**written, "retiring": key.retiring})


class Reader:
    """Takes what is ours out of one object's metadata; `stray()` is what is left."""

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._left = {name: value for name, value in metadata.items() if name not in _ITS_OWN and name != "managed_by"}

    def text(self, name: str) -> str:
        return self._left.pop(name) if isinstance(self._left.get(name), str) else ""

    def flag(self, name: str) -> bool:
        return self._left.pop(name) is True if isinstance(self._left.get(name), bool) else False

    def labels(self) -> Pairs:
        return pairs(self._left.pop("labels")) if isinstance(self._left.get("labels"), Mapping) else ()

    def limits(self) -> dict[str, Any]:
        """The limits as arguments of `Limits`."""
        found = self._left.get("limits")
        if not isinstance(found, Mapping):
            return {}
        del self._left["limits"]
        taken: dict[str, Any] = {}
        for name, value in found.items():
            if name in _COUNTS and type(value) is int:
                taken[name] = value
            elif name == "soft_limit" and type(value) in (int, float):
                taken[name] = float(value)
            elif name == "per_model" and (models := _read_per_model(value)) is not None:
                taken[name] = models
            else:
                self._left[f"limits.{name}"] = value
        return taken

    def stray(self) -> Pairs:
        """Numbers as they are; all else without its value, which could be a credential (a callback's, say)."""
        return pairs({name: value if _only_numbers(value) else REDACTED for name, value in self._left.items()})


def pairs(values: Mapping[str, Any]) -> Pairs:
    """Any mapping as something that can be compared, hashed and printed."""
    return tuple(sorted((str(name), json.dumps(value, sort_keys=True, default=str)) for name, value in values.items()))


def _limits(limits: Limits) -> dict[str, Any]:
    written = {name: getattr(limits, name) for name in (*_COUNTS, "soft_limit")}
    per_model = {model: {budget.duration: budget.usd for budget in budgets} for model, budgets in limits.per_model}
    return _without_empty({**written, "per_model": per_model})


def _read_per_model(value: Any) -> tuple[tuple[str, tuple[Budget, ...]], ...] | None:
    if not isinstance(value, Mapping) or not all(isinstance(caps, Mapping) for caps in value.values()):
        return None
    try:
        return tuple(sorted((model, tuple(sorted(_caps(caps)))) for model, caps in value.items()))
    except (TypeError, ValueError):
        return None


def _caps(caps: Mapping[str, Any]) -> Iterator[Budget]:
    for duration, usd in caps.items():
        yield Budget(float(usd), duration)


def _only_numbers(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_only_numbers(inner) for inner in value.values())
    return value is None or isinstance(value, int | float)


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", False, {})}
