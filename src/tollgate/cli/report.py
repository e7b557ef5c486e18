"""`tollgate tenant report`: one tenant's month for whoever pays for it, on the terminal and as one HTML file."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tollgate.cli.usage import FRESH, breakdown, by_name, one_format, screen, title
from tollgate.errors import TollgateError
from tollgate.ledger import figures, output
from tollgate.ledger.month import Month
from tollgate.ledger.page import page
from tollgate.ledger.windows import parse_month
from tollgate.site import Site
from tollgate.stack import ledger
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import project

BAR = 30


def report(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="a tenant's id; a deleted one has its ledger still")],
    month: Annotated[str | None, typer.Option(help="such as 2026-11; the running month unless given")] = None,
    html: Annotated[Path | None, typer.Option(help="write one HTML file with charts, to send or print")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="one line a day, key and model")] = False,
) -> None:
    """A tenant's month: spend a day, against the limits, where it is heading, and what it went to."""
    one_format(as_json, as_csv)
    site: Site = context.obj
    window = parse_month(month, ledger.now())
    if html is not None and not html.resolve().parent.is_dir():
        raise TollgateError(f"{html}: there is no folder {html.parent}", "make it, or name another file")
    found = ledger.month_of(site, Compose.core(site, project(site)), tenant, window)
    if html is not None:
        write(html, page(found))
        typer.echo(f"wrote {html}", err=True)
    if as_json:
        typer.echo(json.dumps(output.month_json(found), indent=2))
    elif as_csv:
        typer.echo(output.entries_csv(found.team, found.entries, found.key_names), nl=False)
    elif html is None:
        show(screen(), found)


def write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TollgateError(f"{file}: {error.strerror}", "name another file") from None


def show(console: Console, month: Month) -> None:
    """The month on a terminal."""
    console.print(title(month.team.id, month.team.name, month.team.state), Text(f"{month.window.since:%B %Y}", "bold"))
    console.print()
    if not month.total.requests and not month.total.spend:
        console.print(f"Nothing in the ledger for {month.window.since:%B %Y}.")
        if month.before.requests:
            console.print(f"The month before: {figures.usd(month.before.spend)}, {month.before.requests:,} requests.")
        return
    for line in summary(month):
        console.print(Text(line))
    console.print()
    console.print(_days(month))
    console.print()
    console.print(breakdown("MODEL", month.models, month.total))
    console.print()
    console.print(breakdown("KEY", by_name(month.keys), month.total))
    if month.failures:
        console.print()
        console.print(_failures(month))
    console.print()
    console.print(Text(FRESH if month.running else "From LiteLLM's ledger. Days are UTC.", "dim"))


def summary(month: Month) -> list[str]:
    """The figures a team lead asks for first."""
    limit = month.monthly_limit
    of = f" of {figures.limit(limit)} ({figures.percent(month.total.spend / limit)})" if limit else ""
    traffic = f"{month.total.requests:,} requests, {month.total.failed:,} of them failed"
    lines = [
        f"Spent     {figures.usd(month.total.spend)}{of}",
        f"Traffic   {traffic}; {figures.count(month.total.tokens_in)} tokens in "
        f"({figures.count(month.total.cache_read)} from the cache), {figures.count(month.total.tokens_out)} out",
    ]
    if month.projected is not None:
        end = f"; the limit would be reached on {month.runs_out:%-d %B}" if month.runs_out else ""
        lines.append(f"Heading   for {figures.usd(month.projected)} by the month's end, at its pace so far{end}")
    lines.append(f"Before    {figures.usd(month.before.spend)} in the month before")
    return lines


def _days(month: Month) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("DAY")
    most = max((day.spend for day in month.days.values()), default=Decimal(0))
    table.add_column("" if month.daily_limit is None else f"limit: {figures.limit(month.daily_limit)} a day")
    for heading in ("SPENT", "REQUESTS", "FAILED"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for day, totals in month.days.items():
        over = month.daily_limit is not None and totals.spend > month.daily_limit
        drawn = figures.bar(totals.spend / most if most else Decimal(0), BAR)
        numbers = (figures.usd(totals.spend), figures.count(totals.requests), figures.count(totals.failed))
        quiet = "dim" if not totals.requests else ""
        table.add_row(
            Text(f"{day:%a %d}", quiet),
            Text(f"{drawn:<{BAR}}", "red" if over else "cyan"),
            *(Text(number, quiet) for number in numbers),
            Text("over" if over else "", "red"),
        )
    return table


def _failures(month: Month) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("FAILED OR REFUSED", "STATUS", "KIND"):
        table.add_column(heading)
    for one in month.failures:
        words = figures.status_words(one.status) or "failed"
        table.add_row(Text(f"{one.requests:,} {words}"), Text(one.status), Text(one.kind))
    return table
