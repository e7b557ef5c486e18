"""Starts containers with the shortest interruption: databases first, replicas one after another."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tollgate.errors import StepError
from tollgate.render.times import Times
from tollgate.stack.containers.compose import DATABASES, Compose, needed
from tollgate.stack.containers.drain import GATEWAY, REPLICA, Drain
from tollgate.stack.containers.health import not_ready, wait_ready
from tollgate.stack.containers.rollout import Rollout, number
from tollgate.stack.host.progress import Progress

TRIES = 5
# Engine 20.10 does not check whether a connection of the host already uses the port that it chooses.
PORT_TAKEN = "address already in use"
# An `up` that failed or was interrupted leaves the engine creating containers. Compose does not see them yet, and the
# engine refuses a second one of their name.
NAME_TAKEN = "is already in use by container"


def bring_up(
    step: str, compose: Compose, services: Collection[str], progress: Progress, *, replace_replicas: bool = False
) -> list[str]:
    """Create, recreate or start each service that differs from its description. Wait until all are healthy.

    Returns one line for each started or removed service. If replicas run, each is drained and changed alone while the
    others serve. Otherwise all start together. Gateway processes follow in the same way. `replace_replicas` also
    replaces what did not change. Running replicas and gateway processes that `services` does not name are drained and
    removed.
    """
    before = compose.running()
    for name in compose.remove_half_recreated():
        progress.say(f"removed {name}, left by an interrupted run")
    # Gateway processes come after the replicas that they hand requests to.
    rolled = [sorted(name for name in services if name.startswith(kind)) for kind in (REPLICA, GATEWAY)]
    others = sorted(set(services).difference(*rolled))
    drain = Drain(compose, progress, Times.deployed(compose.environment).streams)
    rollout = Rollout(step, compose, progress, drain, everyone=replace_replicas)
    unwanted: list[str] = []
    if any(rolled):
        wanted = {name for names in rolled for name in names}
        for kind in (GATEWAY, REPLICA):
            surplus = [name for name in before if name.startswith(kind) and name not in wanted]
            rollout.remove(surplus)
            unwanted += surplus
    if others:
        # --remove-orphans removes the drained replicas, and services that only an older version of the kit described.
        _up(step, compose, others, progress, *(["--remove-orphans"] if any(rolled) else []))
    again = ["--force-recreate"] if replace_replicas else []

    def recreate(names: Sequence[str]) -> None:
        _up(step, compose, names, progress, *again)

    for names in rolled:
        if any(name in before for name in names):
            rollout.roll(names, recreate)
        elif names:
            _up(step, compose, names, progress)
    wait_ready(step, compose, services, progress)
    # Those that started together with all others, and that an interrupted rollout had drained before.
    rollout.recover({name for names in rolled for name in names})
    after = compose.running()
    started = [f"started {name}" for name in sorted(services) if after.get(name) != before.get(name)]
    return started + [f"removed {name}" for name in sorted(unwanted, key=number) if name not in after]


def start_all(compose: Compose, progress: Progress) -> list[str]:
    """Start the services that requests need. Databases start first: a replica without Postgres exits and restarts."""
    started = bring_up("start", compose, DATABASES, progress)
    rest = [name for name in needed(compose.services()) if name not in DATABASES]
    return started + bring_up("start", compose, rest, progress)


def _up(step: str, compose: Compose, services: Collection[str], progress: Progress, *options: str) -> None:
    # Without --no-deps Compose would start the one-shot migrate job again each time.
    words = ("up", "--detach", "--no-deps", "--quiet-pull", *options, *services)
    try:
        up_with_patience(step, compose, words, progress)
    except StepError as error:
        failed = next((row for row in compose.containers() if row.service in services and row.failed), None)
        if failed is not None:
            raise not_ready(step, compose, failed.service, failed) from None
        cause = error.log[-1] if error.log else error.message
        hint = "correct the cause and run `make deploy` again: it continues from here; `make doctor` checks each part"
        raise StepError(step, cause, hint, error.log) from None


def up_with_patience(step: str, compose: Compose, words: Collection[str], progress: Progress) -> None:
    """Run `up`, and again after an error that passes by itself.

    Docker takes the next port if it chose one that is in use (port 0 in .env), and Compose finds a container whose
    creation has ended meanwhile.
    """
    chosen = "0" in {value for name, value in compose.environment.items() if name.endswith("_PORT")}
    passing = (NAME_TAKEN, PORT_TAKEN) if chosen else (NAME_TAKEN,)
    for _ in range(TRIES - 1):
        try:
            compose.run(step, progress, *words)
            return
        except StepError as error:
            if not any(reason in line for line in error.log for reason in passing):
                raise
    compose.run(step, progress, *words)
