"""`tollgate backup`: writes an archive and prints what it contains."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.figures import room
from tollgate.site import Site
from tollgate.stack.backup import age, metric
from tollgate.stack.backup.make import TELLING, Made, Secrets, make, prune, running_postgres
from tollgate.stack.configuration import change_env
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.lock import locked


def backup(
    context: typer.Context,
    plain: Annotated[bool, typer.Option("--plain", help="write the secrets in clear text")] = False,
    no_secrets: Annotated[bool, typer.Option("--no-secrets", help="leave .env and secrets/ out")] = False,
    keep: Annotated[int, typer.Option(min=0, help="delete all but the newest N archives; 0 deletes none")] = 0,
    make_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write a new age identity to FILE, set its recipient in .env; no backup"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write database, tenants/, config/, .env and secrets/ to one archive below var/backups. No request fails.

    Secrets are encrypted to BACKUP_AGE_RECIPIENT of .env. The command reads the archive back to verify it.
    """
    site: Site = context.obj
    if make_key is not None:
        _make_key(site, make_key)
        return
    deployment = Deployment.of(site)
    kept = Secrets(deployment.settings.backup_age_recipient, plain=plain, omit=no_secrets)
    kept.check()
    display = StepDisplay()
    with locked(site, "backup"), display.step("backup"):
        postgres = running_postgres(deployment.compose)
        backup = make(site, postgres, kept, display)
        metric.tell(site, backup.archive)
        deleted = prune(site, keep) if keep else []
    if as_json:
        typer.echo(json.dumps(_facts(backup) | {"deleted": [str(file) for file in deleted]}, indent=2))
        return
    typer.echo(_words(backup))
    for file in deleted:
        typer.echo(f"deleted {file.name}")


def _make_key(site: Site, file: Path) -> None:
    recipient = age.make_identity(file)
    change_env(site, "BACKUP_AGE_RECIPIENT", recipient)
    typer.echo(f"BACKUP_AGE_RECIPIENT={recipient} is in .env now.")
    typer.echo(f"Move {file} to another machine. Only this file can decrypt the secrets of your backups.")


def _facts(backup: Made) -> dict[str, object]:
    manifest = backup.archive.manifest
    return {
        "archive": str(backup.archive.file),
        "bytes": backup.bytes,
        "seconds": round(backup.seconds, 2),
        "secrets": manifest.secrets,
        "left_out": list(manifest.left_out),
        "rows": manifest.rows,
    }


def _words(backup: Made) -> str:
    manifest = backup.archive.manifest
    some = ", ".join(f"{manifest.rows.get(table, 0):,} in {table}" for table in TELLING)
    secrets = manifest.secrets or f"left out: {', '.join(manifest.left_out)}"
    return (
        f"{os.path.relpath(backup.archive.file)}: {room(backup.bytes)} in {backup.seconds:.1f} s, verified\n"
        f"  rows     {sum(manifest.rows.values()):,} ({some})\n"
        f"  secrets  {secrets}"
    )
