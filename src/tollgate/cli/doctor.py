"""`tollgate doctor`: one line per check, and a hint for each problem."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.text import Text

from tollgate.cli.options import AsJson
from tollgate.cli.terminal import Terminal
from tollgate.site import Site
from tollgate.stack.doctor import Finding, examine

COLOURS = {"PASS": "green", "WARN": "yellow", "FAIL": "red", "SKIP": "dim"}


def doctor(
    context: typer.Context,
    as_json: AsJson = False,
) -> None:
    """Check everything that the gateway needs. Each line is PASS, WARN, FAIL or SKIP. Exit 1 on any FAIL."""
    site: Site = context.obj
    console = Terminal()
    findings: list[Finding] = []
    for finding in examine(site):
        findings.append(finding)
        if not as_json:
            _show(console, finding)
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        counts = {level: sum(finding.level == level for finding in findings) for level in COLOURS}
        console.print("\n" + ", ".join(f"{count} {level}" for level, count in counts.items() if count))
    if any(finding.level == "FAIL" for finding in findings):
        raise typer.Exit(1)


def _show(console: Terminal, finding: Finding) -> None:
    line = Text.assemble((finding.level, COLOURS[finding.level]), f"  {finding.check}: {finding.message}")
    console.print(line, soft_wrap=True)
    if finding.hint:
        console.print(Text(f"      hint: {finding.hint}", "dim"), soft_wrap=True)
