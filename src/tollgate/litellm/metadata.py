"""Reads and writes the metadata of our teams and keys: our mark, every limit, and the names for people.

    team  {managed_by, limits, labels, owner, show_keys}    key  {managed_by, name, owner, limits, retiring}

services/limits reads `limits`; an absent field means no limit. Other names, and values in another
form than ours, were not written by Tollgate: the reader returns them as `stray`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tollgate.limits import BUDGETS, RATES, SOFT
from tollgate.litellm.state import Budget, Key, Limits, Pairs, Team

OWNER = "tollgate"
REDACTED = "(redacted)"
_COUNTS = tuple(limit.name for limit in RATES)
_MONEY = tuple(limit.name for limit in (*BUDGETS, SOFT))
# LiteLLM writes these itself and refuses changes.
_ITS_OWN = frozenset({"team_member_budget_id", "service_account_id"})


def of_team(team: Team) -> dict[str, Any]:
    labels = {name: json.loads(value) for name, value in team.labels}
    written = {"managed_by": OWNER, "limits": _limits(team.limits), "labels": labels, "owner": team.owner}
    return _without_empty({**written, "show_keys": team.show_keys})


def of_key(key: Key) -> dict[str, Any]:
    written = {"managed_by": OWNER, "name": key.name, "owner": key.owner, "limits": _limits(key.limits)}
    return _without_empty({**written, "retiring": key.retiring})


class Reader:
    """Takes our entries out of one object's metadata. `stray()` returns the rest."""

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
        limits = self._left.get("limits")
        if not isinstance(limits, Mapping):
            return {}
        del self._left["limits"]
        taken: dict[str, Any] = {}
        for name, value in limits.items():
            if name in _COUNTS and type(value) is int:
                taken[name] = value
            elif name in _MONEY and type(value) in (int, float):
                taken[name] = float(value)
            elif name == "per_model" and (models := _read_per_model(value)) is not None:
                taken[name] = models
            else:
                self._left[f"limits.{name}"] = value
        return taken

    def stray(self) -> Pairs:
        """The rest: numbers with their value, all else redacted, because it could be a credential (of a callback)."""
        return pairs({name: value if _only_numbers(value) else REDACTED for name, value in self._left.items()})


def pairs(values: Mapping[str, Any]) -> Pairs:
    """A mapping as sorted pairs, which can be compared, hashed and printed."""
    return tuple(sorted((str(name), json.dumps(value, sort_keys=True, default=str)) for name, value in values.items()))


def _limits(limits: Limits) -> dict[str, Any]:
    written = {name: getattr(limits, name) for name in (*_MONEY, *_COUNTS)}
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
