"""Shows a plan: in colour on a terminal, as plain text anywhere else."""

from __future__ import annotations

import typer

from tollgate.reconcile.output import text
from tollgate.reconcile.plan import Plan

_COLOURS = {"+": "green", "~": "yellow", "-": "red", "!": "red"}


def show(plan: Plan, *, verbose: bool = False) -> None:
    """Click takes the colours out again where standard output is not a terminal."""
    for line in text(plan, verbose=verbose).splitlines():
        typer.secho(line, fg=_COLOURS.get(line[:1]))
