"""Runs a container's own health check at once, where Docker would run it only after its interval.

Docker waits one interval before the first check, and engines before 25 know no shorter interval for a start. Short
intervals are expensive: each check is a process that the engine starts inside the container, and a stack has seventeen
containers (docs/decisions/0016). So the intervals are long, and code that waits for a container uses this module.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tollgate.stack.host.run import run

# A check costs about a tenth of a second of one core. One that failed is run again after so many seconds, the first
# times sooner: a gateway process is ready after a second, a replica after eight.
SOON_S, AGAIN_S = 0.5, 2.5
AT_ONCE = 8
SHOWN = "{{.Id}}\t{{.State.StartedAt}}\t{{json .Config.Healthcheck}}"
NANOSECONDS = 1e9
# Docker's own, for a check that names none.
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Check:
    """A health check of one start of a container. `started` tells a start from the next one."""

    container: str
    started: str
    argv: tuple[str, ...]
    timeout_s: float


@dataclass
class Probes:
    """A container that passed counts as healthy until it starts again."""

    clock: Callable[[], float] = time.monotonic
    _passed: set[Check] = field(default_factory=set)
    # Until when a container is left alone after its check failed, and for how long that was.
    _rests: dict[str, tuple[float, float]] = field(default_factory=dict)

    def passing(self, containers: Collection[str]) -> set[str]:
        """Those of the ids `containers` whose own check passes. One without a check never does."""
        now = self.clock()
        checks = _checks([name for name in containers if now >= self._rests.get(name, (0.0, 0.0))[0]])
        due = [check for check in checks if check not in self._passed]
        if due:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for check, passes in zip(due, pool.map(_passes, due), strict=True):
                    self._ran(check, passes)
        return {check.container for check in checks if check in self._passed}

    def _ran(self, check: Check, passes: bool) -> None:
        if passes:
            self._passed.add(check)
            self._rests.pop(check.container, None)
        else:
            _, rested = self._rests.get(check.container, (0.0, 0.0))
            rest = min(AGAIN_S, 2 * rested or SOON_S)
            self._rests[check.container] = (self.clock() + rest, rest)


def _checks(containers: Collection[str]) -> list[Check]:
    """A container that is gone meanwhile has none: Docker then still describes the others, and fails."""
    if not containers:
        return []
    lines = run(["docker", "inspect", "--format", SHOWN, *containers]).out.splitlines()
    checks = (_check(line, containers) for line in lines if line)
    return [check for check in checks if check is not None]


def _check(line: str, containers: Collection[str]) -> Check | None:
    """`docker ps` shows short ids and `docker inspect` whole ones; the answer has the form that was asked for."""
    whole, started, described = line.split("\t")
    health = json.loads(described) or {}
    argv = _argv(health.get("Test") or ())
    short = next((container for container in containers if whole.startswith(container)), None)
    if short is None or not argv:
        return None
    return Check(short, started, argv, health.get("Timeout", 0) / NANOSECONDS or TIMEOUT_S)


def _argv(test: Sequence[str]) -> tuple[str, ...]:
    """The engine's form: CMD and words, CMD-SHELL and a line for the shell, or NONE."""
    kind, *words = test or ("NONE",)
    if kind == "CMD":
        return tuple(words)
    return ("/bin/sh", "-c", *words) if kind == "CMD-SHELL" else ()


def _passes(check: Check) -> bool:
    return run(["docker", "exec", check.container, *check.argv], timeout=check.timeout_s).ok
