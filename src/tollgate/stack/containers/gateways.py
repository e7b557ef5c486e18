"""The state of each gateway process, as it reports it: it listens, it ships its calls, and which route is on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tollgate.errors import TollgateError
from tollgate.stack.containers.container import Container
from tollgate.stack.containers.readiness import readiness

_NAME = re.compile(r"gateway-\d+")
DIRECT, LITELLM, OFF = "direct", "litellm", "off"


@dataclass(frozen=True)
class Ledger:
    """The journal of one process. `lag_s` is the age of the oldest call that could not be brought to Postgres.

    `failing` is why, or empty. `unwritten` are lines that the disk did not take, `set_aside` calls that Postgres
    refuses for their data.
    """

    waiting: int
    lag_s: float
    failing: str
    unwritten: int
    set_aside: int


@dataclass(frozen=True)
class GatewayProcess:
    """`route` and what follows is None if the process does not answer."""

    name: str
    ready: bool
    route: str | None = None
    running: int | None = None
    listening: bool | None = None
    redis: bool | None = None
    ledger: Ledger | None = None


def names(services: Iterable[str]) -> list[str]:
    return sorted((name for name in services if _NAME.fullmatch(name)), key=lambda name: int(name[8:]))


def processes(services: Iterable[str], rows: Mapping[str, Container]) -> list[GatewayProcess]:
    """Every gateway process of this deployment. One that is not ready is not asked."""
    return [_process(name, rows.get(name)) for name in names(services)]


def route(processes: Iterable[GatewayProcess]) -> str:
    """The route that is on: `off` without gateway processes, empty if none of them answers."""
    processes = list(processes)
    routes = {process.route for process in processes if process.route}
    return (DIRECT if DIRECT in routes else LITELLM if routes else "") if processes else OFF


def words(processes: list[GatewayProcess]) -> str:
    """One line for people."""
    if not processes:
        return "off (GATEWAYS=0 in .env): LiteLLM serves every request"
    ready = sum(process.ready for process in processes)
    running = sum(process.running or 0 for process in processes)
    waiting = sum(process.ledger.waiting for process in processes if process.ledger)
    name = {DIRECT: "direct", LITELLM: "litellm (it serves every request)"}.get(route(processes), "unknown")
    return f"{ready} of {len(processes)} ready, route {name}, {running} running, {waiting} calls wait for Postgres"


def _process(name: str, container: Container | None) -> GatewayProcess:
    if container is None or not container.ready:
        return GatewayProcess(name, ready=False)
    try:
        answer = readiness(container)
        ledger = Ledger(**{field: answer["ledger"][field] for field in Ledger.__dataclass_fields__})
        state = {field: answer[field] for field in ("route", "running", "listening", "redis")}
    except (TollgateError, ValueError, KeyError, TypeError):
        return GatewayProcess(name, ready=True)
    return GatewayProcess(name, ready=True, **state, ledger=ledger)
