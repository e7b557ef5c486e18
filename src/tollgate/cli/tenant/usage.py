"""`tollgate tenant usage`: the usage and the limits of one tenant, or one line for every tenant."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from tollgate.cli.options import AsJson
from tollgate.cli.tenant.watch import Watch, watch
from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError
from tollgate.ledger import figures, output
from tollgate.ledger.sums import Totals
from tollgate.ledger.usage import KeyTotals, Line, Spent, Usage, past_soft_limit
from tollgate.site import Site
from tollgate.stack import ledger
from tollgate.stack.deployment import Deployment

BAR = 16
PAPER = 140
TRAFFIC = ("REQUESTS", "FAILED", "TOKENS IN", "CACHED", "TOKENS OUT")
HEADINGS = ("TODAY", "DAY LIMIT", "WEEK", "MONTH", "MONTH LIMIT", "SHARE", "REQUESTS", "TOKENS")
FRESH = "From LiteLLM's ledger, which is written every few seconds: the newest requests may be missing."


def usage(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(help="a tenant's id (default: all tenants)")] = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="print one line per day, key and model; or per tenant and window")
    ] = False,
    every: Watch = None,
) -> None:
    """Show the usage of today, this week and this month, and the limits: USD, requests, tokens, by model and key."""
    one_format(as_json, as_csv)
    site: Site = context.obj
    deployment = Deployment.of(site)
    if every is not None:
        if as_json or as_csv:
            raise TollgateError("--watch: expected a table, found --json or --csv", "leave out one of them")
        console = screen()
        watch(console, every, lambda: _draw(console, deployment, tenant))
        return
    if tenant is None:
        lines = ledger.everybody(deployment.compose)
        if as_json:
            typer.echo(json.dumps(output.overview_json(lines), indent=2))
        elif as_csv:
            typer.echo(output.overview_csv(lines), nl=False)
        else:
            show_everybody(screen(), lines)
        return
    used = ledger.usage_of(deployment, tenant)
    if as_json:
        typer.echo(json.dumps(output.usage_json(used), indent=2))
    elif as_csv:
        typer.echo(output.entries_csv(used.team, used.entries, used.key_names), nl=False)
    else:
        show(screen(), used)


def _draw(console: Terminal, deployment: Deployment, tenant: str | None) -> None:
    if tenant is None:
        show_everybody(console, ledger.everybody(deployment.compose))
    else:
        show(console, ledger.usage_of(deployment, tenant))


def screen() -> Terminal:
    """The terminal. For a file or a pipe, which has no width, one that is wide enough for every table."""
    terminal = Terminal(highlight=False)
    return terminal if terminal.is_terminal else Terminal(highlight=False, width=PAPER)


def one_format(*asked: object) -> None:
    if sum(map(bool, asked)) > 1:
        raise TollgateError("expected one format, found two", "use --json or --csv")


def show(console: Terminal, usage: Usage) -> None:
    """Print one tenant on a terminal."""
    console.print(title(usage.team.id, usage.team.name, usage.team.state), Text(figures.moment(usage.now), "dim"))
    console.print()
    console.print(_money(usage))
    console.print()
    console.print(_traffic(usage))
    console.print()
    if not usage.month.totals.requests:
        console.print("Nothing in the ledger this month yet.")
    for heading, rows in (("MODEL, this month", usage.models), ("KEY, this month", by_name(usage.keys))):
        if rows:
            console.print(breakdown(heading, rows, usage.month.totals))
            console.print()
    rates = usage.team.limits.rates
    words = [f"{rates[name]:,} {figures.RATES[name]}" for name in figures.RATES if name in rates]
    console.print(Text(f"Rate limits: {figures.listed(words) or 'none'}"))
    if usage.team.limits.soft is not None:
        limit = f"Soft limit: {figures.limit(usage.team.limits.soft)}"
        past = past_soft_limit(usage.team, usage.windows)
        console.print(Text(f"{limit}, reached; nothing is refused", "yellow") if past else Text(limit))
    console.print(Text(FRESH, "dim"))


def show_everybody(console: Terminal, lines: Iterable[Line]) -> None:
    """Print all tenants, one line for each."""
    table = _table("TENANT", "STATE", right=HEADINGS)
    lines = tuple(lines)
    for line in lines:
        today, week, month = line.windows
        table.add_row(
            Text(line.team.id),
            Text(line.team.state, STATE_COLOURS.get(line.team.state, "")),
            figures.usd(today.totals.spend),
            _limit(today),
            figures.usd(week.totals.spend),
            figures.usd(month.totals.spend),
            _limit(month),
            Text("") if month.share is None else Text(figures.percent(month.share), colour(month.share)),
            figures.count(month.totals.requests),
            figures.count(month.totals.tokens_in + month.totals.tokens_out),
        )
    if lines:
        console.print(table)
        past = [line.team.id for line in lines if past_soft_limit(line.team, line.windows)]
        if past:
            console.print(Text(f"Past their soft limit: {figures.listed(past)}", "yellow"))
        console.print(Text(FRESH, "dim"))
    else:
        console.print("No tenants in the ledger yet.")


STATE_COLOURS = {"active": "green", "suspended": "yellow", "retiring": "yellow"} | dict.fromkeys(
    ("deleted", "expired", "internal"), "dim"
)


def title(tenant: str, name: str, state: str) -> Text:
    text = Text(tenant, "bold")
    if name and name != tenant:
        text.append(f" · {name}", "not bold")
    return text.append(f"  {state}", STATE_COLOURS.get(state, ""))


def breakdown(heading: str, rows: Mapping[str, Totals], whole: Totals) -> Table:
    """The parts of a total. The lines add up to `whole`."""
    table = _table(heading, right=("SPENT", "SHARE", *TRAFFIC))
    for name, totals in rows.items():
        share = totals.spend / whole.spend if whole.spend else Decimal(0)
        table.add_row(Text(name), figures.usd(totals.spend), figures.percent(share), *traffic(totals))
    return table


def by_name(keys: Iterable[KeyTotals]) -> dict[str, Totals]:
    """Keys for a table: name to totals. The name of a key that is not active includes its state."""
    return {key.name if key.state == "active" else f"{key.name} ({key.state})": key.totals for key in keys}


def traffic(totals: Totals) -> tuple[str, ...]:
    numbers = (totals.requests, totals.failed, totals.tokens_in, totals.cache_read, totals.tokens_out)
    return tuple(figures.count(number) for number in numbers)


def colour(share: Decimal) -> str:
    return "red" if share >= 1 else "yellow" if share >= Decimal("0.8") else "green"


def _money(usage: Usage) -> Table:
    table = _table("", right=("SPENT", "LIMIT"))
    table.add_column("SHARE", no_wrap=True)
    table.add_column("RESETS")
    for spent in (*usage.windows, *usage.caps):
        name = f"{spent.model}, {spent.window.name}" if spent.model else spent.window.name
        resets = figures.span(usage.now, spent.window.reopens)
        table.add_row(Text(name), figures.usd(spent.totals.spend), _limit(spent), _share(spent), resets)
    return table


def _traffic(usage: Usage) -> Table:
    table = _table("", right=TRAFFIC)
    for spent in usage.windows:
        table.add_row(spent.window.name, *traffic(spent.totals))
    return table


def _share(spent: Spent) -> Text:
    if spent.share is None:
        return Text("")
    shown = Text(f"{figures.bar(spent.share, BAR):<{BAR}}", colour(spent.share) + " on grey23")
    return Text.assemble(shown, f" {figures.percent(spent.share):>4}")


def _limit(spent: Spent) -> str:
    return "none" if spent.limit is None else figures.limit(spent.limit)


def _table(*left: str, right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
    return table
