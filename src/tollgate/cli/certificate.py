"""`tollgate certificate`: shows the certificate, and installs a renewed one without closing connections."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.stack.certificates import serve as certificates
from tollgate.stack.deployment import Deployment
from tollgate.stack.host.lock import locked

group = typer.Typer(name="certificate", no_args_is_help=True, help="The certificate that nginx serves over HTTPS.")


@group.command()
def show(
    context: typer.Context,
    pem: Annotated[
        bool, typer.Option("--pem", help="print the certificate itself, for clients; never the key")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print names, expiry and fingerprint of the certificate that .env configures."""
    served = certificates.current(Deployment.of(context.obj))
    if pem:
        typer.echo(served.chain, nl=False)
    elif as_json:
        typer.echo(
            json.dumps(
                {
                    "names": list(served.names),
                    "not_before": served.not_before.isoformat(),
                    "not_after": served.not_after.isoformat(),
                    "sha256": served.fingerprint,
                }
            )
        )
    else:
        typer.echo(f"names    {', '.join(served.names)}")
        typer.echo(f"ends     {served.not_after:%Y-%m-%d %H:%M} UTC")
        typer.echo(f"sha256   {served.fingerprint}")


@group.command()
def reload(context: typer.Context) -> None:
    """Reload nginx with the certificate on disk, after a renewal. Running requests continue."""
    with locked(context.obj, "certificate reload"):
        served = certificates.reload(context.obj, StepDisplay())
    typer.echo(f"nginx serves the certificate that ends on {served.not_after:%Y-%m-%d %H:%M} UTC")


@group.command()
def renew(
    context: typer.Context,
    force: Annotated[bool, typer.Option("--force", help="renew it even if it is valid for a long time")] = False,
) -> None:
    """TLS=acme: fetch a new certificate now, before it is due. Running requests continue."""
    with locked(context.obj, "certificate renew"):
        served = certificates.renew(context.obj, force=force)
    typer.echo(f"nginx serves the certificate that ends on {served.not_after:%Y-%m-%d %H:%M} UTC")
