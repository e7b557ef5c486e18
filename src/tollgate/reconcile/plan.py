"""A plan: a sorted, counted, hashable, printable value. It holds no secret."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from tollgate.errors import TollgateError
from tollgate.reconcile.change import Action, Change

FORMAT = 3  # of to_json(); raise it if readers of the old format would be misled


@dataclass(frozen=True)
class Plan:
    """`changes` are in the order for people. `conflicts` are reasons to apply nothing.

    `unmanaged_*` are the names of what is not ours. `allow_delete` is what the plan was made with.
    """

    changes: tuple[Change, ...] = ()
    conflicts: tuple[str, ...] = ()
    unmanaged_teams: tuple[str, ...] = ()
    unmanaged_keys: tuple[str, ...] = ()
    allow_delete: bool = False

    @property
    def empty(self) -> bool:
        return not self.changes

    @property
    def counts(self) -> dict[Action, int]:
        seen = Counter(change.action for change in self.changes)
        return {action: seen[action] for action in Action}

    @property
    def hash(self) -> str:
        """A hash of all changes with before and after, so that an apply of a reviewed plan notices a difference."""
        content = {"changes": self._changes(), "conflicts": self.conflicts}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def raise_if_unsafe(self) -> None:
        """Raise TollgateError if applying would change an object that is not ours."""
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
            "allow_delete": self.allow_delete,
            "counts": {str(action): count for action, count in self.counts.items()},
            "conflicts": list(self.conflicts),
            "unmanaged": {"teams": list(self.unmanaged_teams), "keys": list(self.unmanaged_keys)},
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


@dataclass(frozen=True)
class Reviewed:
    """A plan that was saved to a file. An apply checks that it is still the same plan."""

    hash: str
    allow_delete: bool

    @classmethod
    def read(cls, text: str, name: str) -> Reviewed:
        """Read the output of to_json(). Raises TollgateError for anything else, also of another version."""
        try:
            content = json.loads(text)
            written, digest, allow_delete = content["format"], content["hash"], content["allow_delete"]
        except (ValueError, KeyError, TypeError):
            raise TollgateError(f"{name}: this is not a plan", "write one with `tollgate plan --out FILE`") from None
        if written != FORMAT:
            raise TollgateError(
                f"{name}: expected a plan of format {FORMAT}, found {written}", "another version wrote it: plan again"
            )
        return cls(str(digest), allow_delete is True)

    def raise_unless_same(self, plan: Plan) -> None:
        if plan.hash != self.hash:
            raise TollgateError(
                "LiteLLM or the tenant files have changed since this plan was made; nothing was applied",
                "plan again and read what is different now",
            )
