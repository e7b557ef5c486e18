"""The `tollgate` command: names the commands, which the other modules define."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tollgate import __version__
from tollgate.cli import crash
from tollgate.cli.lazy import lazily
from tollgate.site import Site

# In the order of `tollgate --help`.
COMMANDS = {
    "deploy": "tollgate.cli.deploy:deploy",
    "rollout": "tollgate.cli.deploy:rollout",
    "scale": "tollgate.cli.deploy:scale",
    "upgrade": "tollgate.cli.upgrade:upgrade",
    "rollback": "tollgate.cli.upgrade:rollback",
    "status": "tollgate.cli.lifecycle:status",
    "logs": "tollgate.cli.lifecycle:logs",
    "top": "tollgate.cli.top:top",
    "why": "tollgate.cli.why:why",
    "start": "tollgate.cli.lifecycle:start",
    "stop": "tollgate.cli.lifecycle:stop",
    "restart": "tollgate.cli.lifecycle:restart",
    "down": "tollgate.cli.lifecycle:down",
    "clean": "tollgate.cli.lifecycle:clean",
    "doctor": "tollgate.cli.doctor:doctor",
    "plan": "tollgate.cli.plan:plan",
    "apply": "tollgate.cli.apply:apply",
    "rotate-keys": "tollgate.cli.rotate_keys:rotate_keys",
    "images": "tollgate.cli.images:images",
    "scan": "tollgate.cli.scan:scan",
    "backup": "tollgate.cli.backup:backup",
    "backup-schedule": "tollgate.cli.backup_schedule:backup_schedule",
    "restore": "tollgate.cli.restore:restore",
    "basic": "tollgate.cli.basic:basic",
    "serve-local": "tollgate.cli.serve_local:serve_local",
    "compose": "tollgate.cli.lifecycle:compose",
    "tenant": "tollgate.cli.tenant.group:group",
    "certificate": "tollgate.cli.certificate:group",
    "models": "tollgate.cli.models:group",
}

app = typer.Typer(
    name="tollgate",
    cls=lazily(COMMANDS, passing_on="compose"),
    help="A production LLM gateway for teams that use Claude Code.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # bugs go to var/logs, see crash.py
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(
            help="the folder with .env, config/, tenants/, secrets/ and var/ (default: the checkout)",
            envvar="TOLLGATE_HOME",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    context.obj = Site.here(home)
    crash.report_to(context.obj.logs_dir)
