"""`tollgate backup` and `tollgate restore`: what is in the archive, what a restore changes, and how it went."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.ledger import figures
from tollgate.site import Site
from tollgate.stack.backup import age, metric
from tollgate.stack.backup.make import TELLING, Made, Secrets, make, prune, running_postgres
from tollgate.stack.backup.restore import Restore
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import change_env, engine_install_allowed, settings
from tollgate.stack.lock import locked

FEW = 20
AsJson = Annotated[bool, typer.Option("--json", help="print what was done as JSON on standard output")]


def backup(
    context: typer.Context,
    plain: Annotated[bool, typer.Option("--plain", help="write the secrets in the clear")] = False,
    no_secrets: Annotated[bool, typer.Option("--no-secrets", help="leave .env and secrets/ out")] = False,
    keep: Annotated[int, typer.Option(min=0, help="delete all but the newest N archives; 0 deletes none")] = 0,
    make_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write a new age identity to FILE, set its recipient in .env; no backup"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write database, tenants/, config/, .env and secrets/ as one archive below var/backups; nobody notices.

    Secrets are encrypted to BACKUP_AGE_RECIPIENT of .env. The archive is read back before it gets its name.
    """
    site: Site = context.obj
    if make_key is not None:
        _make_key(site, make_key)
        return
    chosen = settings(site)
    kept = Secrets(chosen.backup_age_recipient, plain=plain, omit=no_secrets)
    kept.check()
    display = StepDisplay(Console(stderr=True))
    with locked(site, "backup"), display.step("backup"):
        postgres = running_postgres(Compose.core(site, chosen.compose_project_name))
        made = make(site, postgres, kept, display)
        metric.tell(site, made.archive)
        deleted = prune(site, keep) if keep else []
    if as_json:
        typer.echo(json.dumps(_facts(made) | {"deleted": [str(file) for file in deleted]}, indent=2))
        return
    typer.echo(_words(made))
    for file in deleted:
        typer.echo(f"deleted {file.name}")


def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="an archive of `tollgate backup`")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    identity: Annotated[
        Path | None, typer.Option(metavar="AGE_KEY", help="the age identity that opens the archive's secrets")
    ] = None,
    database_only: Annotated[bool, typer.Option("--database-only", help="leave every file as it is")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring back the database and the files of an archive, onto a running or an empty stack. Shows what, and asks.

    A restore that fails leaves the database and the files of before; one that works keeps that database as an archive.
    """
    site: Site = context.obj
    display = StepDisplay(Console(stderr=True))
    install = engine_install_allowed()
    run = Restore(site, file, display, identity, database_only, allow_engine_install=install)
    with locked(site, f"restore of {file.name}"):
        typer.echo(f"This restores, from {file}:", err=True)
        lines = run.check()
        for line in lines[:FEW]:
            typer.echo(f"  {line}", err=True)
        if len(lines) > FEW:
            typer.echo(f"  ... and {len(lines) - FEW} more files", err=True)
        if not yes:
            typer.confirm("Go on?", default=False, abort=True, err=True)
        run.run()
    rows = sum(run.archive.manifest.rows.values())
    if as_json:
        typer.echo(json.dumps({"rows": rows, "seconds": run.seconds, "kept": run.kept}, indent=2))
        return
    typer.echo(f"Restored: {rows:,} rows, and a tenant's request was answered.")
    if run.kept:
        typer.echo(f"What was there before is {os.path.relpath(run.kept)}; `tollgate restore` of it takes this back.")


def _make_key(site: Site, file: Path) -> None:
    recipient = age.make_identity(file)
    change_env(site, "BACKUP_AGE_RECIPIENT", recipient)
    typer.echo(f"BACKUP_AGE_RECIPIENT={recipient} is in .env now.")
    typer.echo(f"Move {file} away from this machine: without it nobody reads the secrets of a backup, with it anybody.")


def _facts(made: Made) -> dict[str, object]:
    manifest = made.archive.manifest
    return {
        "archive": str(made.archive.file),
        "bytes": made.bytes,
        "seconds": round(made.seconds, 2),
        "secrets": manifest.secrets,
        "left_out": list(manifest.left_out),
        "rows": manifest.rows,
    }


def _words(made: Made) -> str:
    manifest = made.archive.manifest
    telling = ", ".join(f"{manifest.rows.get(table, 0):,} in {table}" for table in TELLING)
    secrets = manifest.secrets or f"left out: {', '.join(manifest.left_out)}"
    return (
        f"{os.path.relpath(made.archive.file)}: {figures.room(made.bytes)} in {made.seconds:.1f} s, verified\n"
        f"  rows     {sum(manifest.rows.values()):,} ({telling})\n"
        f"  secrets  {secrets}"
    )
