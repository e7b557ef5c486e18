"""`tollgate scan`: lists known vulnerabilities of the pinned versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tollgate.site import Site
from tollgate.stack.images import versions
from tollgate.stack.images.scan import scan as ask

NOT_ASKED = 3


def scan(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(help="requirement files (default: the kit's lock files)")
    ] = None,
) -> None:
    """Ask the package index for known vulnerabilities. Exit 0: none, 1: some, 3: some versions could not be checked."""
    site: Site = context.obj
    versions.load(site.root / "images" / "versions.env")  # refuses a LiteLLM that must not run
    report = ask(site, files or ())
    for line in report.known:
        typer.echo(f"FAIL  {line}")
    for why, count in report.unasked.items():
        typer.echo(f"SKIP  {why}" + (f" ({count} versions)" if count > 1 else ""))
    typer.echo(f"{report.asked} versions checked, {len(report.known)} known vulnerabilities")
    if report.known:
        raise typer.Exit(1)
    if report.unasked:
        raise typer.Exit(NOT_ASKED)
