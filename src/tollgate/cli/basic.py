"""`tollgate basic`: the five-minute set-up."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.site import Site
from tollgate.stack import basic as setup
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.lock import locked
from tollgate.stack.secrets import BASIC_KEY


def basic(
    context: typer.Context,
    down: Annotated[bool, typer.Option("--down", help="remove it again")] = False,
) -> None:
    """One LiteLLM, the embedded provider, one key, no database: a gateway to look at in five minutes."""
    site: Site = context.obj
    display = StepDisplay(Console(stderr=True))
    with locked(site, "basic"):
        if down:
            setup.down(site, display)
            return
        allow = engine_install_allowed()
        made = setup.deploy(site, display, allow_engine_install=allow)
    typer.echo("\nClaude Code (from this directory):")
    typer.echo(f"  export ANTHROPIC_BASE_URL={made.url.replace('127.0.0.1', 'localhost')}")
    typer.echo(f'  export ANTHROPIC_AUTH_TOKEN="$(cat {os.path.relpath(site.secrets_dir / BASIC_KEY)})"')
    typer.echo("  claude --model test-model")
    typer.echo("\nRemove it with: tollgate basic --down (or make basic DOWN=yes)")
