"""Replaces replicas and gateway processes one after another while the others serve: drain, recreate, check, put back.

A replica that does not become healthy stops the rollout. The others still run as before, and the failed one gets no
requests. The next run continues the rollout.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from tollgate.errors import StepError, TollgateError
from tollgate.stack.containers.compose import Compose
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.drain import GATEWAY, REPLICA, Drain
from tollgate.stack.containers.health import wait_ready
from tollgate.stack.host.docker import docker
from tollgate.stack.host.masking import mask
from tollgate.stack.host.progress import Progress

# They write to the database while they serve.
SERVING = (REPLICA, GATEWAY)
# A request that LiteLLM must authenticate and look up in the database. Health checks do neither: a replica that never
# connected to the database answers them and refuses every key (BerriAI/litellm#38121). The script reads the key inside
# the container, because `ps` shows arguments.
_AUTHENTICATED_REQUEST = """
import pathlib, urllib.request
key = pathlib.Path("/run/secrets/master_key").read_text().strip()
request = urllib.request.Request("http://127.0.0.1:PLACE", headers={"Authorization": "Bearer " + key})
urllib.request.urlopen(request, timeout=10).read()
"""
# A gateway process hands this request to a replica, so the answer proves that it reaches one.
_PLACES = {REPLICA: "4000/key/list?size=1", GATEWAY: "4100/v1/models"}
TRIES = 10

Up = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Rollout:
    """One rollout. `everyone` also replaces replicas that did not change."""

    step: str
    compose: Compose
    progress: Progress
    drain: Drain
    everyone: bool = False

    def roll(self, replicas: Collection[str], up: Up) -> None:
        """Bring each of `replicas` to its description, in order. `up(services)` creates or recreates services.

        Raises StepError at the first replica that does not become healthy.
        """
        stale = sorted(replicas, key=number) if self.everyone else self.stale(replicas)
        for done, name in enumerate(stale):
            self.progress.say(f"replacing {name} ({done + 1} of {len(stale)})")
            self.drain.take_out(name)
            try:
                up([name])
                wait_ready(self.step, self.compose, [name], self.progress)
                self.check(name)
            except StepError as error:
                raise stopped(error, name, stale[done + 1 :]) from None
            self.drain.put_back(name)
        self.recover(set(replicas) - set(stale))

    def remove(self, replicas: Collection[str]) -> None:
        """Drain replicas that the deployment does not have any more. Compose removes their containers later."""
        for name in sorted(replicas, key=number):
            self.progress.say(f"removing {name}")
            self.drain.take_out(name)
        self.drain.forget(replicas)

    def recover(self, replicas: Collection[str]) -> None:
        """Put back replicas that an interrupted rollout drained and that are healthy now."""
        ready = {row.service for row in self.compose.containers() if row.ready}
        for name in sorted(self.drain.drained() & set(replicas) & ready, key=number):
            self.check(name)
            self.drain.put_back(name)

    def stale(self, replicas: Collection[str]) -> list[str]:
        """The replicas whose container differs from its description, by Compose's own hash of the description."""
        running = {row.service: row for row in self.compose.containers() if row.ready}
        wanted = described(self.compose)
        actual = made_from(running[name] for name in replicas if name in running)
        return sorted((name for name in replicas if actual.get(name) != wanted.get(name)), key=number)

    def check(self, name: str) -> None:
        """Send one authenticated request to the replica itself. Retry a few times, because it has just started."""
        container = next(row for row in self.compose.containers() if row.service == name)
        place = next(place for beginning, place in _PLACES.items() if name.startswith(beginning))
        request = _AUTHENTICATED_REQUEST.replace("PLACE", place)
        command = ["docker", "exec", container.id, "python", "-c", request]
        for attempt in range(1, TRIES + 1):
            try:
                docker(command, what=f"an authenticated request to {name}")
                return
            except TollgateError as error:
                self.progress.detail(f"{name}: {error.message} (try {attempt} of {TRIES})")
                if attempt == TRIES:
                    log = [mask(line) for line in self.compose.tail(name)]
                    raise StepError(self.step, error.message, f"`make logs S={name}` shows more", log) from None
            time.sleep(1)


def number(replica: str) -> int:
    """The number in a name, to sort litellm-10 after litellm-9."""
    return int(replica.rpartition("-")[2])


def described(compose: Compose) -> dict[str, str]:
    """Compose's hash of each service's description."""
    lines = compose.ask("config", "--hash", "*").splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line.strip())


def made_from(containers: Iterable[Container]) -> dict[str, str]:
    """By service: the hash of the description that its container was created from."""
    rows = list(containers)
    if not rows:
        return {}
    shown = '{{json (index .Config.Labels "com.docker.compose.config-hash")}}'
    hashes = docker(["docker", "inspect", "--format", shown, *(row.id for row in rows)]).splitlines()
    return {row.service: json.loads(value) for row, value in zip(rows, hashes, strict=True)}


def stopped(error: StepError, name: str, untouched: Sequence[str]) -> StepError:
    """The error of a replica that stopped the rollout: which replicas still serve, and what to do."""
    serve = "serves" if len(untouched) == 1 else "serve"
    kept = f"{', '.join(untouched)} still {serve} as before; " if untouched else ""
    return error.with_hint(f"{kept}{name} gets no requests. {error.hint}")
