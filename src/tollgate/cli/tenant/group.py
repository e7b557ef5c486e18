"""`tollgate tenant …`: the group of commands for tenants. Each command has its own module."""

from __future__ import annotations

import typer

from tollgate.cli.tenant import connect, keys, read, report, usage, write

group = typer.Typer(
    name="tenant",
    help="Create, change and show tenants.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.callback()
def tenant() -> None:
    """Create, change and show tenants."""


group.command()(usage.usage)
group.command()(report.report)
group.command()(write.create)
group.command("list")(read.list_tenants)
group.command()(read.show)
group.command()(write.update)
group.command()(write.suspend)
group.command()(write.resume)
group.command()(write.delete)
group.command()(connect.connect)
group.add_typer(keys.group)
