"""`tollgate backup`: what is in the archive, and how it went."""

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
from tollgate.stack.compose import Compose
from tollgate.stack.configuration import change_env, settings
from tollgate.stack.lock import locked

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
