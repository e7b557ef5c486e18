"""`tollgate tenant …`: the group of commands about one tenant; each command lives in a module of its own beside it."""

from __future__ import annotations

import typer

from tollgate.cli import report, tenant_connect, tenant_keys, tenant_read, tenant_write, usage

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
group.command()(tenant_write.create)
group.command("list")(tenant_read.list_tenants)
group.command()(tenant_read.show)
group.command()(tenant_write.update)
group.command()(tenant_write.suspend)
group.command()(tenant_write.resume)
group.command()(tenant_write.delete)
group.command()(tenant_connect.connect)
group.add_typer(tenant_keys.group)
