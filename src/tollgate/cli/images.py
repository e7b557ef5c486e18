"""`tollgate images`: prepares Docker and the images and starts nothing. For tests, and before you go offline."""

from __future__ import annotations

import json

import typer

from tollgate.cli.options import AsJson
from tollgate.cli.progress import StepDisplay
from tollgate.site import Site
from tollgate.stack.configuration import engine_install_allowed
from tollgate.stack.configuration import settings as read_settings
from tollgate.stack.host.engine import ensure_engine
from tollgate.stack.images.resolve import Images


def images(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Prepare Docker and every image, as `deploy` does, and print the image of each service."""
    site: Site = context.obj
    settings = read_settings(site)
    display = StepDisplay()
    with display.step("engine"):
        allow = engine_install_allowed()
        ensure_engine(display, allow_install=allow, mirror=settings.debian_mirror or "")
    with display.step("images"):
        wanted = Images(settings, site, display)
        resolved = wanted.provide(wanted.core)
    if as_json:
        typer.echo(json.dumps({"images": dict(resolved.images), "unavailable": dict(resolved.unavailable)}, indent=2))
        return
    for name, reference in sorted(resolved.images.items()):
        typer.echo(f"{name:<24} {reference}")
    for name, reason in sorted(resolved.unavailable.items()):
        typer.echo(f"{name:<24} left out: {reason}")
