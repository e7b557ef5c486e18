"""Carries out a plan, several changes at a time. After an interruption, plan and apply again to continue.

It reads back what it wrote: teams one by one, keys a hundred at a time after each phase.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Protocol

from tollgate.errors import TollgateError
from tollgate.litellm.state import Key, Team
from tollgate.reconcile.change import Change, Phase
from tollgate.reconcile.plan import Plan

WORKERS = (
    8  # more than a replica can handle at once, so that it never waits for us, and few compared with its connections
)
TOGETHER = 100  # keys in one call that reads them back; LiteLLM's pages have the same size


class TenantStore(Protocol):
    """The interface for applying changes (litellm/provider.py implements it). Many threads call it."""

    def write(self, before: Team | Key | None, after: Team | Key | None) -> None: ...

    def confirm(self, keys: Sequence[Key]) -> Iterable[tuple[Key, TollgateError]]: ...


@dataclass(frozen=True)
class Outcome:
    """How far it went. `failed` has the changes that failed, with reasons. Ctrl-C is `interrupted`."""

    applied: tuple[Change, ...]
    not_tried: tuple[Change, ...] = ()
    failed: tuple[tuple[Change, TollgateError], ...] = ()
    interrupted: bool = False

    def __str__(self) -> str:
        return f"applied {len(self.applied)}, failed {len(self.failed)}, not tried {len(self.not_tried)}"

    def raise_if_incomplete(self) -> None:
        """Raises TollgateError with the first reason, and with how far it went."""
        if self.interrupted:
            raise TollgateError(f"{self}: interrupted", "run it again: it continues from there")
        if self.failed:
            change, error = self.failed[0]
            raise TollgateError(f"{self}: {change.kind} {change.name}: {error.message}", error.hint)


Report = Callable[[Change, int, int], None]


def apply(plan: Plan, target: TenantStore, report: Report | None = None, workers: int = WORKERS) -> Outcome:
    """Apply phase by phase (`Phase`), and stop at the first failure. Running changes still finish.

    `report(change, number, total)` is called after each change, by one thread at a time. Raises TollgateError before
    the first one if the plan is not safe to apply.
    """
    plan.raise_if_unsafe()
    walk = _Walk(plan, target, report)
    for phase in Phase:
        walk.through([change for change in plan.changes if change.phase is phase], workers)
    return walk.outcome()


@dataclass
class _Walk:
    plan: Plan
    target: TenantStore
    report: Report | None
    applied: list[Change] = field(default_factory=list)
    failed: list[tuple[Change, TollgateError]] = field(default_factory=list)
    interrupted: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def through(self, changes: Sequence[Change], workers: int) -> None:
        """One phase. If it ends early, waiting changes are not tried, and the pool waits for the running ones."""
        if not changes or self.stop.is_set():
            return
        with ThreadPoolExecutor(min(workers, len(changes)), "apply") as pool:
            try:
                tasks = [pool.submit(self._one, change) for change in changes]
                written = [task.result() for task in as_completed(tasks)]
                keys = [change for change in written if change and isinstance(change.after, Key)]
                batches = (keys[start : start + TOGETHER] for start in range(0, len(keys), TOGETHER))
                for task in [pool.submit(self._confirm, batch) for batch in batches]:
                    task.result()
            except KeyboardInterrupt:
                self.interrupted = True
                self.stop.set()
            except BaseException:
                self.stop.set()
                raise

    def _one(self, change: Change) -> Change | None:
        """The change, if it was applied."""
        if self.stop.is_set():
            return None
        try:
            self.target.write(change.before, change.after)
        except TollgateError as error:
            self._fail([(change, error)])
            return None
        with self.guard:
            self.applied.append(change)
            if self.report:
                self.report(change, len(self.applied), len(self.plan.changes))
        return change

    def _confirm(self, changes: Sequence[Change]) -> None:
        """Mark a change as failed if its key is not as wanted."""
        keys = [change.after for change in changes if isinstance(change.after, Key)]
        by_id = {change.subject.id: change for change in changes}
        try:
            self._fail([(by_id[key.id], error) for key, error in self.target.confirm(keys)])
        except TollgateError as error:
            self._fail([(change, error) for change in changes])

    def _fail(self, failed: Sequence[tuple[Change, TollgateError]]) -> None:
        with self.guard:
            self.failed.extend(failed)
            failures = {id(change) for change, _ in failed}
            self.applied = [change for change in self.applied if id(change) not in failures]
        if failed:
            self.stop.set()

    def outcome(self) -> Outcome:
        return Outcome(tuple(self.applied), tuple(self._untried()), tuple(self.failed), self.interrupted)

    def _untried(self) -> Iterator[Change]:
        tried = {id(change) for change in (*self.applied, *(change for change, _ in self.failed))}
        yield from (change for change in self.plan.changes if id(change) not in tried)
