"""`tollgate tenant report`: one tenant's month for the person who pays, on the terminal and as one HTML file."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tollgate import disk
from tollgate.cli.options import AsJson
from tollgate.cli.tenant.usage import FRESH, breakdown, by_name, one_format, screen, title
from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError
from tollgate.ledger import figures, output
from tollgate.ledger.month import Month
from tollgate.ledger.page import page
from tollgate.ledger.windows import parse_month
from tollgate.site import Site
from tollgate.stack import ledger
from tollgate.stack.deployment import Deployment

BAR = 30


def report(
    context: typer.Context,
    tenant: Annotated[str, typer.Argument(help="a tenant's id, also of a deleted tenant")],
    month: Annotated[str | None, typer.Option(help="a month such as 2026-11 (default: this month)")] = None,
    html: Annotated[Path | None, typer.Option(help="write one HTML file with charts, to send or print")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="print one line per day, key and model")] = False,
) -> None:
    """Show a tenant's month: spend per day, limits, the forecast, and the spend per model and key."""
    one_format(as_json, as_csv)
    site: Site = context.obj
    window = parse_month(month, ledger.now())
    if html is not None and not html.resolve().parent.is_dir():
        raise TollgateError(f"{html}: there is no folder {html.parent}", "create the folder, or name another file")
    spend = ledger.month_of(Deployment.of(site), tenant, window)
    if html is not None:
        write(html, page(spend))
        typer.echo(f"wrote {html}", err=True)
    if as_json:
        typer.echo(json.dumps(output.month_json(spend), indent=2))
    elif as_csv:
        typer.echo(output.entries_csv(spend.team, spend.entries, spend.key_names), nl=False)
    elif html is None:
        show(screen(), spend)


def write(file: Path, text: str) -> None:
    try:
        # A link stays a link, and the file's mode follows the user's umask.
        disk.replace(file.resolve() if file.is_file() else file, text, None)
    except OSError as error:
        refusal = TollgateError(f"{file}: {error.strerror}", "name another file")
        raise disk.refusal(error) or refusal from None


def show(console: Terminal, month: Month) -> None:
    """Print the month on a terminal."""
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
        lines.append(f"Forecast  {figures.usd(month.projected)} by the month's end at this pace{end}")
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
    for failure in month.failures:
        words = figures.status_words(failure.status) or "failed"
        table.add_row(Text(f"{failure.requests:,} {words}"), Text(failure.status), Text(failure.kind))
    return table
