"""Replaces replicas one after another while the others serve: out of the rotation, new, checked, back in.

A replica that does not come up ends the roll where it is: the others still run what they ran, and nginx sends it
nothing. Run again, the roll goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from tollgate.errors import StepError, TollgateError
from tollgate.stack.compose import Compose, Container
from tollgate.stack.docker import docker
from tollgate.stack.health import wait_ready
from tollgate.stack.masking import mask
from tollgate.stack.progress import Progress
from tollgate.stack.rotation import Rotation

REPLICA = "litellm-"
# Asks LiteLLM for something that it must authenticate and look up in the database. Health checks do neither: a replica
# whose database connection never came about answers them and refuses every key (BerriAI/litellm#38121). The key is
# read inside the container: an argument would be seen by `ps`.
_AUTHENTICATED_REQUEST = """
import pathlib, urllib.request
key = pathlib.Path("/run/secrets/master_key").read_text().strip()
request = urllib.request.Request(
    "http://127.0.0.1:4000/key/list?size=1", headers={"Authorization": "Bearer " + key}
)
urllib.request.urlopen(request, timeout=10).read()
"""
TRIES = 10

Up = Callable[[Sequence[str]], None]


@dataclass(frozen=True)
class Rollout:
    """One roll. `up(services)` creates or recreates them; `everyone` replaces also replicas that did not change."""

    step: str
    compose: Compose
    progress: Progress
    rotation: Rotation
    everyone: bool = False

    def roll(self, replicas: Collection[str], up: Up) -> None:
        """Bring each of `replicas` to its description, in order; StepError at the first that does not come up."""
        stale = sorted(replicas, key=number) if self.everyone else self.stale(replicas)
        for done, name in enumerate(stale):
            self.progress.say(f"replacing {name} ({done + 1} of {len(stale)})")
            self.rotation.take_out(name)
            try:
                up([name])
                wait_ready(self.step, self.compose, [name], self.progress)
                self.check(name)
            except StepError as error:
                raise stopped(error, name, stale[done + 1 :]) from None
            self.rotation.put_back(name)
        self.recover(set(replicas) - set(stale))

    def remove(self, replicas: Collection[str]) -> None:
        """Wait until replicas that are to go, and that nginx no longer lists, have answered what they were asked."""
        for name in sorted(replicas, key=number):
            self.progress.say(f"removing {name}")
            self.rotation.take_out(name)
        self.rotation.forget(replicas)

    def recover(self, replicas: Collection[str]) -> None:
        """Put back what an interrupted roll took out and what is well by now."""
        well = {row.service for row in self.compose.containers() if row.ready}
        for name in sorted(self.rotation.drained() & set(replicas) & well, key=number):
            self.check(name)
            self.rotation.put_back(name)

    def stale(self, replicas: Collection[str]) -> list[str]:
        """Those that do not run as they are described: Compose's own hash of the description tells."""
        running = {row.service: row for row in self.compose.containers() if row.ready}
        wanted = described(self.compose)
        had = made_from(running[name] for name in replicas if name in running)
        return sorted((name for name in replicas if had.get(name) != wanted.get(name)), key=number)

    def check(self, name: str) -> None:
        """One authenticated request to the replica itself, a few times: it has only just begun to answer."""
        container = next(row for row in self.compose.containers() if row.service == name)
        command = ["docker", "exec", container.id, "python", "-c", _AUTHENTICATED_REQUEST]
        for attempt in range(1, TRIES + 1):
            try:
                docker(command, what=f"an authenticated request to {name}")
                return
            except TollgateError as error:
                self.progress.detail(f"{name}: {error.message} (try {attempt} of {TRIES})")
                if attempt == TRIES:
                    log = [mask(line) for line in self.compose.tail(name)]
                    raise StepError(self.step, error.message, f"`make logs S={name}` tells more", log) from None
            time.sleep(1)


def number(replica: str) -> int:
    """litellm-10 comes after litellm-9."""
    return int(replica.removeprefix(REPLICA))


def described(compose: Compose) -> dict[str, str]:
    """Compose's hash of each service's description."""
    lines = compose.ask("config", "--hash", "*").splitlines()
    return dict(line.split(maxsplit=1) for line in lines if line.strip())


def made_from(containers: Iterable[Container]) -> dict[str, str]:
    """The hash of the description that each container was made from."""
    rows = list(containers)
    if not rows:
        return {}
    shown = '{{json (index .Config.Labels "com.docker.compose.config-hash")}}'
    hashes = docker(["docker", "inspect", "--format", shown, *(row.id for row in rows)]).splitlines()
    return {row.service: json.loads(value) for row, value in zip(rows, hashes, strict=True)}


def stopped(error: StepError, name: str, untouched: Sequence[str]) -> StepError:
    """The failure of one replica as the end of a roll: what serves now, and what to do."""
    kept = f"{', '.join(untouched)} still serve as before; " if untouched else ""
    cause = error.message.removeprefix(f"{error.step}: ")
    return StepError(error.step, cause, f"{kept}{name} gets no requests. {error.hint}", error.log)
