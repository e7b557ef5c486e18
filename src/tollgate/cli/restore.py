"""`tollgate restore`: shows the changes of an archive or a moment, asks, restores, and prints the result."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.host.lock import locked
from tollgate.stack.restore.archive import Restore
from tollgate.stack.restore.moment import RestoreAt, moment_of

FEW = 20


def restore(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="an archive of `tollgate backup`")] = None,
    at: Annotated[
        str,
        typer.Option(metavar="MOMENT", help='instead of an archive: restore the database of "2026-11-21 10:00" (UTC)'),
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    identity: Annotated[
        Path | None, typer.Option(metavar="AGE_KEY", help="the age identity that decrypts the archive's secrets")
    ] = None,
    database_only: Annotated[bool, typer.Option("--database-only", help="restore no files")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore an archive, or the database as of a moment, on a running or an empty stack. Shows the changes and asks.

    A failed restore changes neither database nor files. A successful one saves the old database as an archive.
    """
    site: Site = context.obj
    if (file is None) == (not at):
        raise TollgateError(
            f"expected an archive or --at MOMENT, found {'both' if file else 'neither'}",
            "`ls var/backups` shows the archives",
        )
    display, install = StepDisplay(), engine_install_allowed()
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
            typer.confirm("Continue?", default=False, abort=True, err=True)
        run.run()
    done = run.restore if isinstance(run, RestoreAt) else run
    rows = sum(done.archive.manifest.rows.values())
    if as_json:
        typer.echo(json.dumps({"rows": rows, "seconds": run.seconds, "kept": done.kept}, indent=2))
        return
    typer.echo(f"Restored: {rows:,} rows, and a tenant's request was answered.")
    if done.kept:
        typer.echo(f"The old database is {os.path.relpath(done.kept)}. To undo this restore, restore that archive.")
    if isinstance(run, RestoreAt):
        typer.echo("Teams and keys are those of that moment. `make plan` shows how they differ from the tenant files.")
