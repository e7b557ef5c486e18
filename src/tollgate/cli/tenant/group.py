"""`tollgate tenant …`: the group of commands for tenants. Each command has its own module."""

from __future__ import annotations

import typer

from tollgate.cli.lazy import lazily

# In the order of `tollgate tenant --help`.
COMMANDS = {
    "usage": "tollgate.cli.tenant.usage:usage",
    "report": "tollgate.cli.tenant.report:report",
    "create": "tollgate.cli.tenant.write:create",
    "list": "tollgate.cli.tenant.read:list_tenants",
    "show": "tollgate.cli.tenant.read:show",
    "update": "tollgate.cli.tenant.write:update",
    "suspend": "tollgate.cli.tenant.write:suspend",
    "resume": "tollgate.cli.tenant.write:resume",
    "delete": "tollgate.cli.tenant.write:delete",
    "connect": "tollgate.cli.tenant.connect:connect",
    "key": "tollgate.cli.tenant.keys:group",
}

group = typer.Typer(
    name="tenant",
    cls=lazily(COMMANDS),
    help="Create, change and show tenants.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@group.callback()
def tenant() -> None:
    """Create, change and show tenants."""
