"""Commands for a deployed stack: status, logs, start, stop, restart, down, clean, compose."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from tollgate.cli.addresses import addresses
from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError
from tollgate.figures import room
from tollgate.ledger.rows import Size
from tollgate.site import Site
from tollgate.stack import ledger
from tollgate.stack.backup import state as backups
from tollgate.stack.containers import gateways, optional
from tollgate.stack.containers.bring_up import start_all
from tollgate.stack.containers.compose import MIGRATE, Compose, is_optional, needed
from tollgate.stack.containers.container import Container
from tollgate.stack.deploy import left_out
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.lock import locked
from tollgate.stack.images import litellm as litellm_versions


def _compose(context: typer.Context) -> Compose:
    return Deployment.of(context.obj).compose


def _deployed(context: typer.Context) -> Compose:
    """The stack's Compose. TollgateError if nothing is deployed."""
    compose = _compose(context)
    compose.must_be_rendered()
    return compose


def status(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Show the containers, their health and their addresses.

    Exit 1 if a service that requests need is not ready. Optional services do not change the exit code.
    """
    deployment = Deployment.of(context.obj)
    compose = deployment.compose
    services = [name for name in compose.services() if name != MIGRATE]
    by_name = {row.service: row for row in compose.containers() if row.service != MIGRATE}
    missing = [name for name in needed(services) if name not in by_name or not by_name[name].ready]
    not_up = optional.not_up(compose, services, by_name)
    lines = left_out.read(context.obj).lines
    size = ledger.size(compose) if "postgres" in by_name and by_name["postgres"].ready else None
    kept = _backups(deployment)
    processes = gateways.processes(services, by_name)
    if as_json:
        rows = [asdict(by_name[name]) for name in services if name in by_name]
        state = {"ready": not missing, "not_ready": missing, "containers": rows, "ledger": size and asdict(size)}
        state["optional_not_up"] = [asdict(part) for part in not_up]
        state["left_out"] = lines
        state["gateway"] = {"route": gateways.route(processes), "processes": [asdict(process) for process in processes]}
        state["litellm"] = litellm_versions.deployed(compose)
        state["backups"] = kept and asdict(kept)
        typer.echo(json.dumps(state, indent=2, default=str))
    else:
        Terminal().print(_table(services, by_name))
        for name, address in addresses(deployment).items():
            typer.echo(f"{name:<11} {address}")
        typer.echo(f"{'gateway':<11} {gateways.words(processes)}")
        typer.echo(f"{'litellm':<11} {_release(context.obj, compose)}")
        if size is not None:
            typer.echo(f"{'ledger':<11} {_room(size)}")
        if kept is not None:
            typer.echo(f"{'backups':<11} {backups.words(kept, datetime.now(UTC))}")
        # If requests fail, the table shows the reason. Then optional services are not mentioned.
        for line in [*lines, *([] if missing else map(str, not_up))]:
            typer.echo(line)
    if missing:
        raise typer.Exit(1)


def _release(site: Site, compose: Compose) -> str:
    have, newest = litellm_versions.deployed(compose), litellm_versions.known(site.root)[-1]
    newer = litellm_versions.order(newest) > litellm_versions.order(have)
    return f"{have}; this kit knows {newest}: `make upgrade` checks first and asks" if newer else have


def _backups(deployment: Deployment) -> backups.State | None:
    """None if Postgres does not answer. Its own line in the table says so."""
    try:
        return backups.state(deployment, datetime.now(UTC))
    except TollgateError:
        return None


def _room(size: Size) -> str:
    since = f", the oldest of {size.oldest}" if size.oldest else ""
    return f"{room(size.bytes)} of database, about {size.log_rows:,} single requests logged{since}"


def _table(services: list[str], by_name: dict[str, Container]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("SERVICE", "STATE", "HEALTH", "UP"):
        table.add_column(heading)
    for name in services:
        row = by_name.get(name)
        if row is None:
            table.add_row(name, f"[{'yellow' if is_optional(name) else 'red'}]not created[/]", "", "")
            continue
        colour = "green" if row.ready else "yellow" if is_optional(name) else "red"
        table.add_row(name, f"[{colour}]{row.state}[/]", row.health, row.running_for)
    return table


def logs(
    context: typer.Context,
    services: Annotated[list[str] | None, typer.Argument(help="names of services (default: all)")] = None,
    follow: Annotated[bool, typer.Option(help="print new lines as they arrive")] = True,
    tail: Annotated[int, typer.Option(help="lines of history per service")] = 100,
) -> None:
    """Show the containers' logs."""
    compose = _compose(context)
    known = compose.services()
    for name in services or []:
        if name not in known:
            raise TollgateError(f'expected a service, found "{name}"', f"services: {', '.join(known)}")
    # Compose must not write to the terminal itself: a log may contain an upstream's text with control characters.
    with suppress(KeyboardInterrupt):
        for line in compose.lines("logs", "--tail", str(tail), *(["--follow"] if follow else []), *(services or [])):
            typer.echo(line)


def start(context: typer.Context) -> None:
    """Start the stopped containers and wait until each is healthy. The first start is `deploy`."""
    with locked(context.obj, "start"):
        _start(_compose(context), StepDisplay())


def stop(context: typer.Context) -> None:
    """Stop the containers. Containers and data stay. Running streams may finish first."""
    _changing(context, "stop", "stop")


def restart(context: typer.Context) -> None:
    """Stop and start the containers. The gateway is down in between."""
    display = StepDisplay()
    compose = _deployed(context)
    with locked(context.obj, "restart"):
        with display.step("stop"):
            compose.run("stop", display, "stop")
        _start(compose, display)


def down(context: typer.Context) -> None:
    """Remove the containers and networks. The data stays. `deploy` creates them again."""
    _remove(context, "down", volumes=False)


def clean(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove the containers AND THE DATA: teams, keys, budgets, spend, metrics. Keeps .env, secrets/ and tenants/."""
    if not yes:
        typer.confirm("This deletes the database with all spend, forever. Continue?", default=False, abort=True)
    _remove(context, "clean", volumes=True)


def compose(context: typer.Context) -> None:
    """Run `docker compose` with this deployment's files and variables, as in `tollgate compose ps`."""
    _compose(context).become(*context.args)


def _start(compose: Compose, display: StepDisplay) -> None:
    if not compose.containers():
        raise TollgateError("there are no containers to start", "run `make deploy`")
    with display.step("start"):
        start_all(compose, display)
        _, not_up = optional.bring_up("start", compose, display)
        for part in not_up:
            display.say(str(part))


def _remove(context: typer.Context, why: str, *, volumes: bool) -> None:
    compose, display = _deployed(context), StepDisplay()
    with locked(context.obj, why), display.step(why):
        compose.remove(why, display, volumes=volumes)


def _changing(context: typer.Context, why: str, *arguments: str) -> None:
    compose, display = _deployed(context), StepDisplay()
    with locked(context.obj, why), display.step(why):
        compose.run(why, display, *arguments)
