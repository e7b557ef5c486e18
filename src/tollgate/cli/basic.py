"""`tollgate basic`: the five-minute set-up."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from tollgate.cli.progress import StepDisplay
from tollgate.site import Site
from tollgate.stack.basic import setup
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.host.lock import locked
from tollgate.stack.secrets.store import BASIC_KEY


def basic(
    context: typer.Context,
    down: Annotated[bool, typer.Option("--down", help="remove it again")] = False,
) -> None:
    """Start a small gateway in five minutes: one LiteLLM, the embedded provider, one key, no database."""
    site: Site = context.obj
    display = StepDisplay()
    with locked(site, "basic"):
        if down:
            setup.down(site, display)
            return
        allow = engine_install_allowed()
        gateway = setup.deploy(site, display, allow_engine_install=allow)
    typer.echo("\nClaude Code (from this directory):")
    typer.echo(f"  export ANTHROPIC_BASE_URL={gateway.url.replace('127.0.0.1', 'localhost')}")
    typer.echo(f'  export ANTHROPIC_AUTH_TOKEN="$(cat {os.path.relpath(site.secret(BASIC_KEY))})"')
    typer.echo("  claude --model test-model")
    typer.echo("\nRemove it with: tollgate basic --down (or make basic DOWN=yes)")
