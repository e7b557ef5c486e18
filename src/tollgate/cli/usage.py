"""`tollgate tenant usage`: what one tenant used against its limits, or one line for each of all of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tollgate.errors import TollgateError
from tollgate.ledger import figures, output
from tollgate.ledger.sums import Totals
from tollgate.ledger.usage import KeyTotals, Line, Spent, Usage, past_soft_limit
from tollgate.site import Site
from tollgate.stack import ledger
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import project

BAR = 16
PAPER = 140
TRAFFIC = ("REQUESTS", "FAILED", "TOKENS IN", "CACHED", "TOKENS OUT")
HEADINGS = ("TODAY", "DAY LIMIT", "WEEK", "MONTH", "MONTH LIMIT", "SHARE", "REQUESTS", "TOKENS")
FRESH = "From LiteLLM's ledger, which is written every few seconds: the newest requests may be missing."


def usage(
    context: typer.Context,
    tenant: Annotated[str | None, typer.Argument(help="a tenant's id; all tenants when none is named")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="one line a day, key and model; or a tenant and window")
    ] = False,
) -> None:
    """What was used today, this week and this month against each limit: USD, requests, tokens, by model and key."""
    one_format(as_json, as_csv)
    site: Site = context.obj
    compose = Compose.core(site, project(site))
    if tenant is None:
        lines = ledger.everybody(compose)
        if as_json:
            typer.echo(json.dumps(output.overview_json(lines), indent=2))
        elif as_csv:
            typer.echo(output.overview_csv(lines), nl=False)
        else:
            show_everybody(screen(), lines)
        return
    found = ledger.usage_of(site, compose, tenant)
    if as_json:
        typer.echo(json.dumps(output.usage_json(found), indent=2))
    elif as_csv:
        typer.echo(output.entries_csv(found.team, found.entries, found.key_names), nl=False)
    else:
        show(screen(), found)


def screen() -> Console:
    """The terminal, or enough room for every table where a file or a pipe has no width of its own."""
    terminal = Console(highlight=False)
    return terminal if terminal.is_terminal else Console(highlight=False, width=PAPER)


def one_format(*asked: object) -> None:
    if sum(map(bool, asked)) > 1:
        raise TollgateError("one format at a time", "--json or --csv")


def show(console: Console, usage: Usage) -> None:
    """One tenant on a terminal."""
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
        said = f"Soft limit: {figures.limit(usage.team.limits.soft)}"
        past = past_soft_limit(usage.team, usage.windows)
        console.print(Text(f"{said}, reached; nothing is refused", "yellow") if past else Text(said))
    for one in usage.windows:
        if one.disagrees and one.counted is not None:
            console.print(Text(_disagreement(one, one.counted), "yellow"))
    console.print(Text(FRESH, "dim"))


def show_everybody(console: Console, lines: Iterable[Line]) -> None:
    """All tenants, one line each."""
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
    """What the total went to; the lines add up to it."""
    table = _table(heading, right=("SPENT", "SHARE", *TRAFFIC))
    for name, totals in rows.items():
        share = totals.spend / whole.spend if whole.spend else Decimal(0)
        table.add_row(Text(name), figures.usd(totals.spend), figures.percent(share), *traffic(totals))
    return table


def by_name(keys: Iterable[KeyTotals]) -> dict[str, Totals]:
    """Keys for a table; one that is not active says so."""
    return {one.name if one.state == "active" else f"{one.name} ({one.state})": one.totals for one in keys}


def traffic(totals: Totals) -> tuple[str, ...]:
    numbers = (totals.requests, totals.failed, totals.tokens_in, totals.cache_read, totals.tokens_out)
    return tuple(figures.count(number) for number in numbers)


def colour(share: Decimal) -> str:
    return "red" if share >= 1 else "yellow" if share >= Decimal("0.8") else "green"


def _money(usage: Usage) -> Table:
    table = _table("", right=("SPENT", "LIMIT"))
    table.add_column("SHARE", no_wrap=True)
    table.add_column("RESETS")
    for one in (*usage.windows, *usage.caps):
        name = f"{one.model}, {one.window.name}" if one.model else one.window.name
        resets = figures.span(usage.now, one.window.reopens)
        table.add_row(Text(name), figures.usd(one.totals.spend), _limit(one), _share(one), resets)
    return table


def _traffic(usage: Usage) -> Table:
    table = _table("", right=TRAFFIC)
    for one in usage.windows:
        table.add_row(one.window.name, *traffic(one.totals))
    return table


def _share(one: Spent) -> Text:
    if one.share is None:
        return Text("")
    shown = Text(f"{figures.bar(one.share, BAR):<{BAR}}", colour(one.share) + " on grey23")
    return Text.assemble(shown, f" {figures.percent(one.share):>4}")


def _limit(one: Spent) -> str:
    return "none" if one.limit is None else figures.limit(one.limit)


def _disagreement(one: Spent, counted: Decimal) -> str:
    return (
        f"Against the limit of {one.window.name} the gateway counts {figures.usd(counted)}, and it is that figure "
        "which it refuses by: requests on their way count, and so does spend from before the limit was set."
    )


def _table(*left: str, right: Iterable[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in left:
        table.add_column(heading)
    for heading in right:
        table.add_column(heading, justify="right")
    return table
