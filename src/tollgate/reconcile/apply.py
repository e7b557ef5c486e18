"""Walk a plan: one change at a time, told as it goes. After an interruption, plan and apply again: it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tollgate.errors import TollgateError
from tollgate.litellm.state import Key, Team
from tollgate.reconcile.change import Change
from tollgate.reconcile.plan import Plan


class Target(Protocol):
    """What a gateway must offer for changes to be applied to it (litellm/provider.py does)."""

    def apply_change(self, before: Team | Key | None, after: Team | Key | None) -> None: ...


@dataclass(frozen=True)
class Outcome:
    """How far it went. `error` is why it stopped, and `failed` the change it stopped at."""

    applied: int
    not_tried: int = 0
    failed: Change | None = None
    error: TollgateError | None = None

    def __str__(self) -> str:
        return f"applied {self.applied}, failed {int(self.failed is not None)}, not tried {self.not_tried}"


Report = Callable[[Change, int, int], None]


def apply(plan: Plan, target: Target, report: Report | None = None) -> Outcome:
    """Apply in order and stop at the first change that fails: a key must not be made for a team that was not.

    `report(change, number, total)` is called before each change. Raises TollgateError before the first one if the plan
    is not safe to apply.
    """
    plan.raise_if_unsafe()
    total = len(plan.changes)
    for done, change in enumerate(plan.changes):
        if report:
            report(change, done + 1, total)
        try:
            target.apply_change(change.before, change.after)
        except TollgateError as error:
            return Outcome(done, total - done - 1, change, error)
    return Outcome(total)
