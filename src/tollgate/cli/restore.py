"""`tollgate restore`: what an archive or a moment would change, the question, and how it went."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup.restore import Restore
from tollgate.stack.backup.restore_at import RestoreAt, moment_of
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.lock import locked

FEW = 20


def restore(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="an archive of `tollgate backup`")] = None,
    at: Annotated[
        str, typer.Option(metavar="MOMENT", help='instead of an archive: the database as of "2026-11-21 10:00" (UTC)')
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    identity: Annotated[
        Path | None, typer.Option(metavar="AGE_KEY", help="the age identity that opens the archive's secrets")
    ] = None,
    database_only: Annotated[bool, typer.Option("--database-only", help="leave every file as it is")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print what was done as JSON on standard output")] = False,
) -> None:
    """Bring back an archive, or the database as of a moment, onto a running or an empty stack. Shows what, and asks.

    A restore that fails leaves the database and the files of before; one that works keeps that database as an archive.
    """
    site: Site = context.obj
    if (file is None) == (not at):
        raise TollgateError("expected an archive or --at MOMENT, and not both", "`ls var/backups` shows the archives")
    display, install = StepDisplay(Console(stderr=True)), engine_install_allowed()
    run: Restore | RestoreAt
    if file is None:
        run = RestoreAt(site, moment_of(at), display, allow_engine_install=install)
    else:
        run = Restore(site, file, display, identity, database_only, allow_engine_install=install)
    source = f"{file or at}"
    with locked(site, f"restore of {file.name if file else at}"):
        typer.echo(
            f"This restores, from {source}:" if file else f"This restores the database as of {source}:", err=True
        )
        lines = run.check()
        for line in lines[:FEW]:
            typer.echo(f"  {line}", err=True)
        if len(lines) > FEW:
            typer.echo(f"  ... and {len(lines) - FEW} more files", err=True)
        if not yes:
            typer.confirm("Go on?", default=False, abort=True, err=True)
        run.run()
    done = run.restore if isinstance(run, RestoreAt) else run
    rows = sum(done.archive.manifest.rows.values())
    if as_json:
        typer.echo(json.dumps({"rows": rows, "seconds": run.seconds, "kept": done.kept}, indent=2))
        return
    typer.echo(f"Restored: {rows:,} rows, and a tenant's request was answered.")
    if done.kept:
        typer.echo(f"What was there before is {os.path.relpath(done.kept)}; `tollgate restore` of it takes this back.")
    if isinstance(run, RestoreAt):
        typer.echo("Teams and keys are as they were then: `make plan` shows what no tenant file names any more.")
