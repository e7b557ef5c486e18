"""Shows long steps: on a terminal a live line with the elapsed time, otherwise one line per event."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from tollgate.cli.terminal import Terminal


class StepDisplay:
    """The Progress that `stack` reports to. Writes to standard error, so standard output has only results."""

    def __init__(self, console: Terminal | None = None) -> None:
        self._console = console or Terminal(stderr=True)
        self._live: Live | None = None
        self._guard = threading.Lock()
        self._title = ""
        # Commands without steps count the seconds from here.
        self._began = self._last_plain = time.monotonic()
        self._detail = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` until the block ends. Then the caller reports the result with `done`."""
        self._title, self._detail, self._began = title, "", time.monotonic()
        if not self._console.is_terminal:
            self._console.print(f"==> {title}", highlight=False, markup=False)
            self._last_plain = self._began
            yield
            return
        with Live(
            self._line(), console=self._console, refresh_per_second=8, transient=True, get_renderable=self._line
        ) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def done(self, title: str, seconds: float, result: str) -> None:
        """Print a permanent line: the step, its result and its duration."""
        if self._console.is_terminal:
            self._console.print(
                Text.assemble(("✓", "green"), f" {title:<14} ", (f"{seconds:6.1f} s", "dim"), f"  {result}"),
                soft_wrap=True,
            )
        else:
            self._console.print(
                f"    {title}: {result} ({seconds:.1f} s)", highlight=False, markup=False, soft_wrap=True
            )

    def say(self, text: str) -> None:
        with self._guard:
            self._console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        with self._guard:
            self._detail = text.strip()
            now = time.monotonic()
            # Without a terminal, a line every ten seconds shows that the step is running and keeps CI logs short.
            if self._live is None and now - self._last_plain >= 10:
                self._last_plain = now
                line = f"    [{now - self._began:5.0f} s] {self._detail[:160]}"
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _line(self) -> Spinner:
        elapsed = time.monotonic() - self._began
        text = Text.assemble((self._title, "bold"), f" {elapsed:4.0f} s  ", (self._detail, "dim"))
        text.truncate(max(self._console.width - 4, 20), overflow="ellipsis")
        return Spinner("dots", text=text)
