"""`tollgate certificate`: what clients are shown, and a renewed one without a cut connection."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.stack import certificates
from tollgate.stack.lock import locked

group = typer.Typer(name="certificate", no_args_is_help=True, help="The certificate clients are shown over HTTPS.")


@group.command()
def show(
    context: typer.Context,
    pem: Annotated[
        bool, typer.Option("--pem", help="the certificate itself, to hand to clients; never the key")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Names, end and fingerprint of the certificate that .env asks for."""
    found = certificates.current(context.obj)
    if pem:
        typer.echo(found.chain, nl=False)
    elif as_json:
        typer.echo(
            json.dumps(
                {
                    "names": list(found.names),
                    "not_before": found.not_before.isoformat(),
                    "not_after": found.not_after.isoformat(),
                    "sha256": found.fingerprint,
                }
            )
        )
    else:
        typer.echo(f"names    {', '.join(found.names)}")
        typer.echo(f"ends     {found.not_after:%Y-%m-%d %H:%M} UTC")
        typer.echo(f"sha256   {found.fingerprint}")


@group.command()
def reload(context: typer.Context) -> None:
    """Have nginx serve the certificate that lies on disk now, after a renewal. Running requests go on."""
    with locked(context.obj, "certificate reload"):
        found = certificates.reload(context.obj, StepDisplay(Console(stderr=True)))
    typer.echo(f"nginx serves the certificate that ends on {found.not_after:%Y-%m-%d %H:%M} UTC")


@group.command()
def renew(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="also where it has long to live")] = False,
) -> None:
    """TLS=acme: fetch the certificate now, rather than when it is due. Running requests go on."""
    with locked(context.obj, "certificate renew"):
        found = certificates.renew(context.obj, force=force)
    typer.echo(f"nginx serves the certificate that ends on {found.not_after:%Y-%m-%d %H:%M} UTC")
