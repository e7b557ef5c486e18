"""Commands about a stack that was deployed: status, logs, start, stop, restart, down, clean, compose."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from tollgate.cli.addresses import addresses
from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.ledger import figures
from tollgate.ledger.rows import Size
from tollgate.site import Site
from tollgate.stack import ledger, litellm_versions
from tollgate.stack.backup import state as backups
from tollgate.stack.bring_up import start_all
from tollgate.stack.compose import MIGRATE, Compose, Container
from tollgate.stack.configuration import project, settings
from tollgate.stack.lock import locked


def _compose(context: typer.Context) -> Compose:
    site: Site = context.obj
    return Compose.core(site, project(site))


def _deployed(context: typer.Context) -> Compose:
    """The same, where there is something to change; TollgateError where there is not."""
    compose = _compose(context)
    compose.must_be_rendered()
    return compose


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """What runs, whether it is healthy, and where it is. Exit 1 when something that should run does not."""
    compose = _compose(context)
    services = [name for name in compose.services() if name != MIGRATE]
    by_name = {row.service: row for row in compose.containers() if row.service != MIGRATE}
    missing = [name for name in services if name not in by_name or not by_name[name].ready]
    room = ledger.size(compose) if "postgres" in by_name and by_name["postgres"].ready else None
    kept = _backups(context.obj, compose)
    if as_json:
        rows = [asdict(by_name[name]) for name in services if name in by_name]
        state = {"ready": not missing, "not_ready": missing, "containers": rows, "ledger": room and asdict(room)}
        state["litellm"] = litellm_versions.deployed(compose)
        state["backups"] = kept and asdict(kept)
        typer.echo(json.dumps(state, indent=2, default=str))
    else:
        Console().print(_table(services, by_name))
        for name, address in addresses(compose).items():
            typer.echo(f"{name:<11} {address}")
        typer.echo(f"{'litellm':<11} {_release(context.obj, compose)}")
        if room is not None:
            typer.echo(f"{'ledger':<11} {_room(room)}")
        if kept is not None:
            typer.echo(f"{'backups':<11} {backups.words(kept, datetime.now(UTC))}")
        left_out = context.obj.rendered_dir / "left-out.txt"
        if left_out.is_file() and (text := left_out.read_text().strip()):
            typer.echo(text)
    if missing:
        raise typer.Exit(1)


def _release(site: Site, compose: Compose) -> str:
    have, newest = litellm_versions.deployed(compose), litellm_versions.known(site.root)[-1]
    newer = litellm_versions.order(newest) > litellm_versions.order(have)
    return f"{have}; this kit knows {newest}: `make upgrade` looks first" if newer else have


def _backups(site: Site, compose: Compose) -> backups.State | None:
    """None where Postgres does not answer: its own line says so."""
    try:
        return backups.state(site, compose, settings(site), datetime.now(UTC))
    except TollgateError:
        return None


def _room(size: Size) -> str:
    since = f", the oldest of {size.oldest}" if size.oldest else ""
    return f"{figures.room(size.bytes)} of database, about {size.log_rows:,} single requests logged{since}"


def _table(services: list[str], by_name: dict[str, Container]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("SERVICE", "STATE", "HEALTH", "UP"):
        table.add_column(heading)
    for name in services:
        row = by_name.get(name)
        if row is None:
            table.add_row(name, "[red]not created[/]", "", "")
            continue
        colour = "green" if row.ready else "red"
        table.add_row(name, f"[{colour}]{row.state}[/]", row.health, row.running_for)
    return table


def logs(
    context: typer.Context,
    services: Annotated[list[str] | None, typer.Argument(help="services; all when none is named")] = None,
    follow: Annotated[bool, typer.Option(help="go on printing as lines arrive")] = True,
    tail: Annotated[int, typer.Option(help="lines of history a service")] = 100,
) -> None:
    """Follow the containers' logs."""
    compose = _compose(context)
    known = compose.services()
    for name in services or []:
        if name not in known:
            raise TollgateError(f'expected a service, found "{name}"', f"services: {', '.join(known)}")
    compose.become("logs", "--tail", str(tail), *(["--follow"] if follow else []), *(services or []))


def start(context: typer.Context) -> None:
    """Start the stopped containers and wait until each is healthy. A first start is `deploy`."""
    with locked(context.obj, "start"):
        _start(_compose(context), StepDisplay(Console(stderr=True)))


def stop(context: typer.Context) -> None:
    """Stop the containers; they and their data stay. Running streams may finish first."""
    _changing(context, "stop", "stop")


def restart(context: typer.Context) -> None:
    """Stop and start the containers; the gateway is away meanwhile."""
    display = StepDisplay(Console(stderr=True))
    compose = _deployed(context)
    with locked(context.obj, "restart"):
        with display.step("stop"):
            compose.run("stop", display, "stop")
        _start(compose, display)


def down(context: typer.Context) -> None:
    """Remove the containers and networks; the data stays. `deploy` brings everything back."""
    _changing(context, "down", "down", "--remove-orphans")


def clean(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Remove the containers AND THE DATA: teams, keys, budgets, spend, metrics. Keeps .env, secrets/ and tenants/."""
    if not yes:
        typer.confirm("This deletes the database and everything spent, for good. Go on?", default=False, abort=True)
    _changing(context, "clean", "down", "--remove-orphans", "--volumes")


def compose(context: typer.Context) -> None:
    """Run `docker compose` on this deployment with its files and variables: `tollgate compose ps`."""
    _compose(context).become(*context.args)


def _start(compose: Compose, display: StepDisplay) -> None:
    if not compose.containers():
        raise TollgateError("there are no containers to start", "run `make deploy`")
    with display.step("start"):
        start_all(compose, display)


def _changing(context: typer.Context, why: str, *arguments: str) -> None:
    compose, display = _deployed(context), StepDisplay(Console(stderr=True))
    with locked(context.obj, why), display.step(why):
        compose.run(why, display, *arguments)
