"""Containers up, in an order in which nobody notices more than must be: data first, replicas one after another."""

from __future__ import annotations

from collections.abc import Collection

from tollgate.errors import StepError
from tollgate.stack.compose import DATABASES, MIGRATE, Compose
from tollgate.stack.health import not_ready, wait_ready
from tollgate.stack.progress import Progress
from tollgate.stack.rollout import REPLICA, Rollout
from tollgate.stack.rotation import Rotation

# Engine 20.10 hands out ports without looking whether a connection of the host holds one.
PORT_TRIES = 4


def bring_up(
    step: str, compose: Compose, services: Collection[str], progress: Progress, *, replace_replicas: bool = False
) -> list[str]:
    """Create, recreate or start what differs from its description; wait until all is healthy; return what was started.

    Replicas are drained and changed one at a time while others serve, all at once where none does; with
    `replace_replicas` also those that did not change. Replicas that `services` no longer names are drained, then go.
    """
    before = compose.running()
    for name in compose.remove_half_recreated():
        progress.say(f"removed {name}, left by an interrupted run")
    replicas = sorted(name for name in services if name.startswith(REPLICA))
    others = sorted(set(services) - set(replicas))
    rollout = Rollout(step, compose, progress, Rotation(compose, progress), everyone=replace_replicas)
    if replicas:
        rollout.remove([name for name in before if name.startswith(REPLICA) and name not in replicas])
    if others:
        # Takes away the replicas that were just drained, and whatever else an older version of the kit described.
        _up(step, compose, others, progress, *(["--remove-orphans"] if replicas else []))
    if any(name in before for name in replicas):
        again = ["--force-recreate"] if replace_replicas else []
        rollout.roll(replicas, lambda names: _up(step, compose, names, progress, *again))
    elif replicas:
        _up(step, compose, replicas, progress)
    wait_ready(step, compose, services, progress)
    after = compose.running()
    return [f"started {name}" for name in sorted(services) if after.get(name) != before.get(name)]


def start_all(compose: Compose, progress: Progress) -> list[str]:
    """Everything of an existing deployment, data first: replicas that start before Postgres give up and start again."""
    started = bring_up("start", compose, DATABASES, progress)
    rest = [name for name in compose.services() if name not in (*DATABASES, MIGRATE)]
    return started + bring_up("start", compose, rest, progress)


def _up(step: str, compose: Compose, services: Collection[str], progress: Progress, *options: str) -> None:
    # Without --no-deps Compose would start the one-shot migrate job again each time.
    words = ("up", "--detach", "--no-deps", "--quiet-pull", *options, *services)
    try:
        _run(step, compose, words, progress)
    except StepError as error:
        failed = next((row for row in compose.containers() if row.service in services and row.failed), None)
        if failed is not None:
            raise not_ready(step, compose, failed.service, failed) from None
        cause = error.log[-1] if error.log else error.message
        hint = "mend the cause and run `make deploy` again: it goes on from here; `make doctor` looks at each part"
        raise StepError(step, cause, hint, error.log) from None


def _run(step: str, compose: Compose, words: Collection[str], progress: Progress) -> None:
    """`up`, again where Docker itself chose a port (port 0 in .env) that turned out to be taken: it takes the next."""
    chosen = "0" in {value for name, value in compose.environment.items() if name.endswith("_PORT")}
    for _ in range(PORT_TRIES if chosen else 0):
        try:
            compose.run(step, progress, *words)
            return
        except StepError as error:
            if not any("address already in use" in line for line in error.log):
                raise
    compose.run(step, progress, *words)
