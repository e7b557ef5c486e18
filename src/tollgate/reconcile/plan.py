"""A plan: a sorted, counted, hashable, printable value. It holds no secret."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from tollgate.errors import TollgateError
from tollgate.reconcile.change import Action, Change

FORMAT = 1  # of to_json(); goes up when a reader of the old one would be misled


@dataclass(frozen=True)
class Plan:
    """`changes` in the order they are applied; `conflicts` are reasons not to apply any of them."""

    changes: tuple[Change, ...] = ()
    conflicts: tuple[str, ...] = ()
    unmanaged_teams: int = 0
    unmanaged_keys: int = 0

    @property
    def empty(self) -> bool:
        return not self.changes

    @property
    def counts(self) -> dict[Action, int]:
        seen = Counter(change.action for change in self.changes)
        return {action: seen[action] for action in Action}

    @property
    def hash(self) -> str:
        """Changes with any change's before or after: an apply of a reviewed plan can tell that LiteLLM has moved."""
        return hashlib.sha256(json.dumps(self._changes(), sort_keys=True).encode()).hexdigest()

    def raise_if_unsafe(self) -> None:
        """Raise TollgateError where applying would touch an object that is not ours."""
        if self.conflicts:
            raise TollgateError(
                "; ".join(self.conflicts),
                "rename the tenant or give it another key; or remove the object in LiteLLM if nobody needs it",
            )

    def to_json(self) -> dict[str, Any]:
        """The whole plan as plain JSON values."""
        return {
            "format": FORMAT,
            "hash": self.hash,
            "counts": {str(action): count for action, count in self.counts.items()},
            "conflicts": list(self.conflicts),
            "unmanaged": {"teams": self.unmanaged_teams, "keys": self.unmanaged_keys},
            "changes": self._changes(),
        }

    def _changes(self) -> list[dict[str, Any]]:
        return [
            {
                "action": str(change.action),
                "kind": change.kind,
                "name": change.name,
                "tenant": change.subject.tenant,
                "before": change.before and asdict(change.before),
                "after": change.after and asdict(change.after),
            }
            for change in self.changes
        ]
