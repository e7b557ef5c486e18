"""`tollgate images`: engine and images made ready, nothing started; before tests, or before going off line."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from tollgate.cli.progress import StepDisplay
from tollgate.site import Site
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.configuration import settings as read_settings
from tollgate.stack.engine import ensure_engine
from tollgate.stack.images import resolve
from tollgate.stack.litellm_versions import chosen


def images(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Make Docker and every image available, as `deploy` does, and print which image each service uses."""
    site: Site = context.obj
    settings = read_settings(site)
    display = StepDisplay(Console(stderr=True))
    mirror = settings.debian_mirror or ""
    with display.step("engine"):
        allow = engine_install_allowed()
        ensure_engine(display, allow_install=allow, mirror=mirror)
    with display.step("images"):
        found = resolve(
            settings.image_source,
            site,
            display,
            ca_bundle=settings.ca_bundle,
            mirror=mirror,
            litellm=chosen(site, settings),
        )
    if as_json:
        typer.echo(json.dumps({"images": dict(found.images), "unavailable": dict(found.unavailable)}, indent=2))
        return
    for name, reference in sorted(found.images.items()):
        typer.echo(f"{name:<24} {reference}")
    for name, reason in sorted(found.unavailable.items()):
        typer.echo(f"{name:<24} left out: {reason}")
