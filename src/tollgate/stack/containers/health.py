"""Waits until containers are ready, shows what it waits for, and stops early if a container cannot become ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator

from tollgate.errors import StepError
from tollgate.stack.containers.compose import BACKEND, Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.host.masking import mask
from tollgate.stack.host.progress import Progress

# A replica imports LiteLLM (8 to 13 s of one core); three of them share two cores on the smallest machine.
START_SECONDS = 240.0
# A local backend first reads its model from disk and warms up its GPU. `basic` and `serve-local` wait for it.
BACKEND_SECONDS = 1800.0
# Docker restarts a container that exits, and one failure may be an accident. If the container fails again this long
# after its first failure, more waiting does not help.
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

    Raises StepError with the container's last log lines if a container is down or unhealthy `PATIENCE_SECONDS` after
    its first failure, or when `within` seconds have passed (for a local backend: half an hour).
    """
    loading = max(within, BACKEND_SECONDS)
    for name, container in given_up(compose, services, progress, within, clock, loading=loading):
        raise not_ready(step, compose, name, container)


def given_up(
    compose: Compose,
    services: Collection[str],
    progress: Progress,
    within: float = START_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    *,
    loading: float = 0.0,
) -> Iterator[tuple[str, Container | None]]:
    """Yield each service that does not become ready, as soon as this is known. Ends when all others are ready.

    The limits are those of `wait_ready`; `loading` is the one of a local backend, `within` if it is shorter. The
    container has its last state; it is None if it was not created.
    """
    began = clock()
    first_failed: dict[str, float] = {}
    lost: set[str] = set()
    while True:
        seen = {container.service: container for container in compose.containers()}
        ready = {name for name, container in seen.items() if container.ready}
        waiting = sorted(set(services) - ready - lost)
        if not waiting:
            return
        progress.detail("waiting for " + ", ".join(_state(name, seen.get(name)) for name in waiting))
        now = clock()
        for name in waiting:
            failed = name in seen and seen[name].failed
            limit = max(within, loading) if name.startswith(BACKEND) else within
            if now - began > limit or (failed and now - first_failed.setdefault(name, now) > PATIENCE_SECONDS):
                lost.add(name)
                yield name, seen.get(name)
        time.sleep(0.5)


def _state(name: str, container: Container | None) -> str:
    if container is None:
        return f"{name} (not created)"
    return f"{name} ({container.health or container.state})"


def not_ready(step: str, compose: Compose, name: str, container: Container | None) -> StepError:
    """The error that names the failed container and shows its last lines."""
    state = _state(name, container)
    if container is not None and container.state == "exited":
        state = f"{name} (exited with {container.exit_code})"
    return StepError(
        step,
        f"{state} did not become healthy",
        f"`make logs S={name}` shows its whole log; correct the cause, run `make deploy` again: it continues from here",
        [mask(line) for line in compose.tail(name)],
    )
