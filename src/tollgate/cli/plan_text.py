"""Prints a plan, with colours on a terminal."""

from __future__ import annotations

from rich.text import Text

from tollgate.cli.terminal import Terminal
from tollgate.reconcile.output import text
from tollgate.reconcile.plan import Plan

_COLOURS = {"+": "green", "~": "yellow", "-": "red", "!": "red"}


def show(plan: Plan, *, verbose: bool = False) -> None:
    console = Terminal(highlight=False)
    for line in text(plan, verbose=verbose).splitlines():
        console.print(Text(line, _COLOURS.get(line[:1], "")), soft_wrap=True)
