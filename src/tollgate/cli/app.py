"""The `tollgate` command: registers the commands, which the other modules define."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tollgate import __version__
from tollgate.cli import (
    apply,
    backup,
    backup_schedule,
    basic,
    certificate,
    crash,
    deploy,
    doctor,
    images,
    lifecycle,
    models,
    plan,
    restore,
    rotate_keys,
    scan,
    serve_local,
    top,
    upgrade,
    why,
)
from tollgate.cli.tenant import group as tenant
from tollgate.site import Site

app = typer.Typer(
    name="tollgate",
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


for command in (
    deploy.deploy,
    deploy.rollout,
    deploy.scale,
    upgrade.upgrade,
    upgrade.rollback,
    lifecycle.status,
    lifecycle.logs,
    top.top,
    why.why,
    lifecycle.start,
    lifecycle.stop,
    lifecycle.restart,
    lifecycle.down,
    lifecycle.clean,
    doctor.doctor,
    plan.plan,
    apply.apply,
    rotate_keys.rotate_keys,
    images.images,
    scan.scan,
    backup.backup,
    backup_schedule.backup_schedule,
    restore.restore,
    basic.basic,
    serve_local.serve_local,
):
    app.command()(command)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(lifecycle.compose)
app.add_typer(tenant.group)
app.add_typer(certificate.group)
app.add_typer(models.group)
