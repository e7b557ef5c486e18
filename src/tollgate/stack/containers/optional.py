"""Starts the services that the gateway works without (compose.is_optional). They start last, and may fail.

A failure stops no deploy. The service becomes a `NotUp`: a warning in `deploy`, a line in `status`, a finding in
`doctor`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tollgate.errors import StepError, TollgateError
from tollgate.render.watchers import GRAFANA_SET, ON_REQUEST
from tollgate.stack.containers.bring_up import up_with_patience
from tollgate.stack.containers.compose import BACKEND, Compose, is_optional
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.health import given_up
from tollgate.stack.host.commands import ask
from tollgate.stack.host.docker import docker
from tollgate.stack.host.masking import mask
from tollgate.stack.host.progress import Progress

# Loki waits half a minute for its own ring, and a backend reads its model for minutes. A deploy need not wait for the
# slowest service: `make status` shows it.
WAIT_SECONDS = 90.0
LOG_LINES = 5
PORT_TAKEN = re.compile(r"port is already allocated|address already in use")
NO_IMAGE = re.compile(r"(?i)no such image|image .*not found|pull access denied")
PORT_SETTINGS = {"prometheus": "PROMETHEUS_PORT", "grafana": "GRAFANA_PORT"}
STARTING, REFUSED = "it is still starting", "Docker does not start it: "
AGAIN = "then run `make deploy` again"


@dataclass(frozen=True)
class NotUp:
    """An optional service that is not up. `log` holds its last lines, with secrets masked; `hint` says what to do."""

    service: str
    why: str
    hint: str
    log: tuple[str, ...] = ()

    @property
    def loss(self) -> str:
        """Which requests fail meanwhile."""
        if self.service.startswith(BACKEND):
            return "requests for its model fail, and all others work"
        return "requests work without it"

    def __str__(self) -> str:
        tail = "".join(f"\n  | {line}" for line in self.log)
        return f"warning: {self.service} is not up: {self.why}; {self.loss}{tail}\nhint:  {self.hint}"


def bring_up(
    step: str, compose: Compose, progress: Progress, within: float = WAIT_SECONDS
) -> tuple[list[str], list[NotUp]]:
    """Start or recreate every optional service, and remove those that the deployment does not have any more.

    Returns the changes, and the services that are not up after at most `within` seconds. It does not wait again for an
    unchanged container that is known to fail.
    """
    enabled = compose.services()
    changes, problems = _remove_dropped(compose, enabled)
    services = [name for name in enabled if is_optional(name)]
    ran, known = compose.running(), _known_to_fail(compose, services, within)
    refused = _up(step, compose, services, progress)
    now = _by_service(compose)
    untouched = {name for name, row in now.items() if known.get(name) == row.id and not row.ready}
    stuck = [name for name in services if name in untouched and name not in refused]
    problems += [_not_up(compose, name, now.get(name), refused.get(name, "")) for name in (*refused, *stuck)]
    rest = set(services) - refused.keys() - set(stuck)
    problems += [_not_up(compose, *lost) for lost in given_up(compose, rest, progress, within)]
    down, runs = {problem.service for problem in problems}, compose.running()
    changes += [f"started {name}" for name in services if name not in down and runs.get(name) != ran.get(name)]
    return changes, sorted(problems, key=lambda problem: problem.service)


def not_up(compose: Compose, services: Collection[str], containers: Mapping[str, Container]) -> list[NotUp]:
    """The optional services in `services` that are not ready now."""
    return [
        _not_up(compose, name, containers.get(name))
        for name in services
        if is_optional(name) and not (name in containers and containers[name].ready)
    ]


def _by_service(compose: Compose) -> dict[str, Container]:
    return {row.service: row for row in compose.containers()}


def _up(step: str, compose: Compose, services: Collection[str], progress: Progress) -> dict[str, str]:
    """Docker's reason for each service that it refuses to start.

    If one cannot start, Compose does not start the others. So after a failure each service starts alone.
    """
    # No download here: the images step got every image that it could, and a registry can be slow to refuse.
    words = ("up", "--detach", "--no-deps", "--pull", "never")
    refused: dict[str, str] = {}
    if not services:
        return refused
    try:
        up_with_patience(step, compose, (*words, *services), progress)
    except StepError:
        for name in services:
            try:
                up_with_patience(step, compose, (*words, name), progress)
            except StepError as error:
                refused[name] = error.log[-1] if error.log else error.message
    return refused


def _known_to_fail(compose: Compose, services: Collection[str], within: float) -> dict[str, str]:
    """Container ids by service, of those that are unhealthy, restart, or are not ready after `within` seconds."""
    rows = [row for row in compose.containers() if row.service in services and not row.ready]
    rows = [row for row in rows if row.state in ("running", "restarting")]
    if not rows:
        return {}
    shown = "{{.RestartCount}} {{.State.StartedAt}}"
    lines = docker(["docker", "inspect", "--format", shown, *(row.id for row in rows)]).splitlines()
    known = {}
    for row, line in zip(rows, lines, strict=True):
        restarts, moment = line.split()
        if int(restarts) or row.health == "unhealthy" or _age(moment) > within:
            known[row.service] = row.id
    return known


def _age(moment: str) -> float:
    """Seconds since `moment`, in the engine's form: 2026-11-28T23:25:03.008756123Z."""
    began = datetime.fromisoformat(moment[:19]).replace(tzinfo=UTC)
    return (datetime.now(UTC) - began).total_seconds()


def _remove_dropped(compose: Compose, enabled: Collection[str]) -> tuple[list[str], list[NotUp]]:
    """Stop and remove the containers of optional services that are left out. Their volumes stay."""
    removed, problems = [], []
    dropped = [row for row in compose.containers() if is_optional(row.service) and row.service not in enabled]
    # These cannot be started now. Backups by the container of the last deploy are better than none, and so is a model.
    asked_for = {service for service in ON_REQUEST if compose.describes(service)}
    if any(row.service.startswith(BACKEND) for row in dropped):
        asked_for |= compose.backends()
    for row in dropped:
        if row.service in asked_for:
            continue
        try:
            docker(["docker", "stop", row.id], timeout=180)
            docker(["docker", "rm", "--force", row.id])
            removed.append(f"removed {row.service}")
        except TollgateError as error:
            problems.append(
                NotUp(
                    row.service, f"it is left out, but Docker cannot remove its container: {error.message}", error.hint
                )
            )
    return removed, problems


def _not_up(compose: Compose, name: str, container: Container | None, refused: str = "") -> NotUp:
    why = mask(f"{REFUSED}{refused}" if refused else _state(container))
    log = () if container is None else tuple(mask(line) for line in compose.tail(name, LOG_LINES))
    return NotUp(name, why, _hint(name, container, why), log)


def _state(container: Container | None) -> str:
    if container is None:
        return "its container was not created"
    if container.state == "created":
        # The engine stores why a container did not start.
        reason = ask("docker", "inspect", "--format", "{{.State.Error}}", container.id)
        return f"{REFUSED}{reason}" if reason else "its container was created and never started"
    if container.state == "restarting":
        return f"it stops again and again (exit status {container.exit_code})"
    if container.state in ("exited", "dead"):
        return f"it stopped (exit status {container.exit_code})"
    if container.health == "unhealthy":
        return "it runs, but its health check fails"
    if container.state != "running":
        return f"it is {container.state}"
    # Between two crashes a container runs for a moment.
    restarts = ask("docker", "inspect", "--format", "{{.RestartCount}}", container.id) or "0"
    return STARTING if restarts == "0" else f"it stops again and again ({restarts} restarts)"


def _hint(name: str, container: Container | None, why: str) -> str:
    if PORT_TAKEN.search(why) and name in PORT_SETTINGS:
        hint = f"set {PORT_SETTINGS[name]} in .env to a free port, {AGAIN}"
    elif NO_IMAGE.search(why):
        hint = "run `make images`, which says why its image is missing, then `make deploy`"
    elif container is None:
        hint = f"correct the cause, {AGAIN}" if why.startswith(REFUSED) else "run `make deploy`, which creates it"
    elif why == STARTING:
        hint = f"`make status` shows when it is up; `make logs S={name}` shows what it does"
    else:
        hint = f"`make logs S={name}` shows more; correct the cause, {AGAIN}"
    return f"{hint}; GRAFANA=off in .env leaves it out" if name in GRAFANA_SET else hint
