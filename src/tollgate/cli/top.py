"""`tollgate top`: what runs now, drawn again every few seconds."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tollgate.cli.options import AsJson
from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError
from tollgate.stack.containers import gateways
from tollgate.stack.deployment import Deployment
from tollgate.stack.requests import now
from tollgate.stack.requests.follow import Follower, read_once
from tollgate.stack.requests.live import Minute, Row
from tollgate.stack.requests.now import Look

# Each look asks every gateway process, nginx and Prometheus.
LEAST_S, MOST_S = 1.0, 3600.0
PAPER = 120
# As many lines of tenants and of models fit on one screen.
SHOWN = 15
HEADINGS = ("REQUESTS/S", "ERRORS/S", "TOKENS/S", "USD/H", "FIRST BYTE P95", "RUNNING")


def top(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="show it once and end")] = False,
    as_json: AsJson = False,
    every: Annotated[float, typer.Option("--every", metavar="SECONDS", help="seconds between two updates")] = 2.0,
) -> None:
    """Show the last minute by tenant, model, gateway and replica, until Ctrl-C. A pipe gets one after another."""
    if not LEAST_S <= every <= MOST_S:
        expected = f"{LEAST_S:g} to {MOST_S:g} seconds"
        raise TollgateError(f"--every: expected {expected}, found {every:g}", "use --every 2")
    deployment = Deployment.of(context.obj)
    deployment.compose.must_be_rendered()
    minute, services = Minute(), deployment.compose.services()
    names, looker = gateways.names(services), now.Looker(deployment, minute, services)
    console = screen()
    if once:
        read_once(deployment.compose, names, minute)
        show(console, looker.look(), as_json=as_json)
        return
    # The program that follows the logs must end with this one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt), Follower(deployment.compose, names, minute) as follower:

        def draw() -> None:
            follower.go_on()
            look = looker.look()
            if console.is_terminal and not as_json:
                console.clear()
            show(console, look, as_json=as_json)

        repeat(console, every, draw)


def repeat(
    console: Terminal, every: float, draw: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait first, so that the logs of the last minute have been read. A failure is shown; the next look may succeed."""
    while True:
        sleep(every)
        try:
            draw()
        except TollgateError as error:
            console.print(Text(f"error: {error.message}\nhint:  {error.hint}", "red"))


def screen() -> Terminal:
    terminal = Terminal(highlight=False)
    return terminal if terminal.is_terminal else Terminal(highlight=False, width=PAPER)


def show(console: Terminal, look: Look, *, as_json: bool = False) -> None:
    """Print one look: tables, or one line of JSON."""
    if as_json:
        typer.echo(json.dumps({**asdict(look), "at": f"{look.at:%Y-%m-%dT%H:%M:%SZ}"}))
        return
    nginx = "" if look.connections is None else f", {look.connections} connections to nginx"
    console.print(Text(f"{look.at:%Y-%m-%d %H:%M:%S} UTC, the last minute{nginx}", "bold"))
    for heading, rows in (
        ("TENANT", look.tenants),
        ("MODEL", look.models),
        ("GATEWAY", look.gateways),
        ("REPLICA", look.replicas),
    ):
        if rows:
            console.print(_table(heading, rows))
    if not (look.tenants or look.models):
        console.print("No request ended in the last minute.")
    for problem in look.problems:
        console.print(Text(f"Note: {problem}", "yellow"))
    console.print()


def _table(heading: str, rows: Sequence[Row]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(heading, min_width=20)
    for name in HEADINGS:
        table.add_column(name, justify="right", min_width=len(name))
    for row in rows[:SHOWN]:
        table.add_row(
            Text(row.name),
            _figure(row.requests_s),
            Text(_figure(row.errors_s), "red" if row.errors_s else ""),
            _figure(row.tokens_s),
            f"{row.usd_h:,.2f}",
            "" if row.first_byte_p95_ms is None else f"{row.first_byte_p95_ms:,} ms",
            "" if row.running is None else f"{row.running:,}",
        )
    if len(rows) > SHOWN:
        table.add_row(Text(f"and {len(rows) - SHOWN} more", "dim"))
    return table


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 1 or not number else f"{number:.2f}"
