"""`tollgate scan`: known vulnerabilities of the pinned versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tollgate.site import Site
from tollgate.stack import image_versions
from tollgate.stack.scan import scan as ask

NOT_ASKED = 3


def scan(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(help="requirement files; the kit's locks when none is named")
    ] = None,
) -> None:
    """Ask the package index for known vulnerabilities. Exit 0: none known, 1: some, 3: not all could be asked about."""
    site: Site = context.obj
    image_versions.load(site.root / "images" / "versions.env")  # refuses a LiteLLM that must not run
    report = ask(site, files or ())
    for line in report.known:
        typer.echo(f"FAIL  {line}")
    for why, count in report.unasked.items():
        typer.echo(f"SKIP  {why}" + (f" ({count} versions)" if count > 1 else ""))
    typer.echo(f"{report.asked} versions asked about, {len(report.known)} known vulnerabilities")
    if report.known:
        raise typer.Exit(1)
    if report.unasked:
        raise typer.Exit(NOT_ASKED)
