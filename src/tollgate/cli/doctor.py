"""`tollgate doctor`: one line a check, a hint where something is wrong."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from tollgate.site import Site
from tollgate.stack.doctor import Finding, examine

COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "red", "SKIP": "dim"}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="machine-readable")] = False,
) -> None:
    """Check everything a working gateway needs. PASS, WARN, FAIL or SKIP a line; exit 1 on any FAIL."""
    site: Site = context.obj
    console = Console()
    found: list[Finding] = []
    for finding in examine(site):
        found.append(finding)
        if not as_json:
            _show(console, finding)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2))
    else:
        counts = {level: sum(finding.level == level for finding in found) for level in COLOURS}
        console.print("\n" + ", ".join(f"{count} {level}" for level, count in counts.items() if count))
    if any(finding.level == "FAIL" for finding in found):
        raise typer.Exit(1)


def _show(console: Console, finding: Finding) -> None:
    line = Text.assemble((finding.level, COLOURS[finding.level]), f"  {finding.check}: {finding.message}")
    console.print(line, soft_wrap=True)
    if finding.hint:
        console.print(Text(f"      hint: {finding.hint}", "dim"), soft_wrap=True)
