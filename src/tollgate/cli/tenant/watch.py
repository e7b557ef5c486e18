"""`--watch`: draw the same screen again and again until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer
from rich.text import Text

from tollgate.cli.terminal import Terminal
from tollgate.errors import TollgateError

# LiteLLM writes the ledger every few seconds, and each drawing is a query to Postgres.
LEAST_S = 2.0

Watch = Annotated[
    float | None,
    typer.Option("--watch", metavar="SECONDS", help="show it again every so many seconds (at least 2), until Ctrl-C"),
]


def watch(
    console: Terminal, every: float, draw: Callable[[], None], sleep: Callable[[float], None] = time.sleep
) -> None:
    """Draw, wait `every` seconds, clear the screen and draw again. A failure is shown, and the next look may succeed.

    Raises TollgateError if `every` is too short, or if the output is not a terminal.
    """
    if every < LEAST_S:
        raise TollgateError(f"--watch: expected at least {LEAST_S:g} seconds, found {every:g}", "use --watch 5")
    if not console.is_terminal:
        hint = "leave out --watch; a script can call `tollgate tenant usage --json` again"
        raise TollgateError("--watch: expected a terminal, found a file or a pipe", hint)
    with suppress(KeyboardInterrupt):
        while True:
            console.clear()
            try:
                draw()
            except TollgateError as error:
                console.print(Text(f"error: {error.message}\nhint:  {error.hint}", "red"))
            console.print(Text(f"Every {every:g} s. Ctrl-C ends it.", "dim"))
            sleep(every)
