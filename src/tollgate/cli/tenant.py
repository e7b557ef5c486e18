"""`tollgate tenant …`: the group of commands about one tenant; each command lives in a module of its own beside it."""

from __future__ import annotations

import typer

from tollgate.cli import report, usage

group = typer.Typer(
    name="tenant",
    help="Create, change and look at tenants.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.callback()
def tenant() -> None:
    """Create, change and look at tenants."""


group.command()(usage.usage)
group.command()(report.report)
