"""Waits until containers are ready, says what it waits for, and stops early when one cannot become ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from tollgate.errors import StepError
from tollgate.stack.compose import Compose, Container
from tollgate.stack.masking import mask
from tollgate.stack.progress import Progress

# A replica imports LiteLLM (8 to 13 s of one core); three of them share two cores on the smallest machine.
START_SECONDS = 240.0
# A local backend reads its model from disk and warms its GPU up first.
BACKEND, BACKEND_SECONDS = "backend-", 1800.0
# Docker restarts a container that exits, and once may be bad luck; one that fails again this long after its first
# failure will not come up by waiting longer.
PATIENCE_SECONDS = 20.0


def wait_ready(
    step: str,
    compose: Compose,
    services: Collection[str],
    progress: Progress,
    within: float = START_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Return once every service in `services` is running and healthy.

    Raises StepError with the container's last log lines when one is down or unhealthy `PATIENCE_SECONDS` after it
    first was, or when `within` seconds have passed (a local backend: half an hour).
    """
    began = clock()
    first_failed: dict[str, float] = {}
    while True:
        seen = {container.service: container for container in compose.containers()}
        waiting = [name for name in sorted(services) if name not in seen or not seen[name].ready]
        if not waiting:
            return
        progress.detail("waiting for " + ", ".join(_state(name, seen.get(name)) for name in waiting))
        now = clock()
        for name in waiting:
            if name in seen and seen[name].failed and now - first_failed.setdefault(name, now) > PATIENCE_SECONDS:
                raise not_ready(step, compose, name, seen[name])
        for name in waiting:
            if now - began > (max(within, BACKEND_SECONDS) if name.startswith(BACKEND) else within):
                raise not_ready(step, compose, name, seen.get(name))
        time.sleep(0.5)


def _state(name: str, container: Container | None) -> str:
    if container is None:
        return f"{name} (not created)"
    return f"{name} ({container.health or container.state})"


def not_ready(step: str, compose: Compose, name: str, container: Container | None) -> StepError:
    """The error that names the container at fault and shows its last lines."""
    state = _state(name, container)
    if container is not None and container.state == "exited":
        state = f"{name} (exited with {container.exit_code})"
    return StepError(
        step,
        f"{state} did not become healthy",
        f"its whole log: `make logs S={name}`; when the cause is mended, run `make deploy` again: it goes on from here",
        [mask(line) for line in compose.tail(name)],
    )
