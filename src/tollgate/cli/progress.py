"""Shows long steps: a live line with the elapsed time on a terminal, one line an event anywhere else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text


class StepDisplay:
    """The Progress that `stack` reports to. Writes to standard error, so that results on standard output stay clean."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._guard = threading.Lock()
        self._title = ""
        # Commands without steps count from here.
        self._began = self._last_plain = time.monotonic()
        self._detail = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Show `title` until the block ends; the caller then says how it went with `done`."""
        self._title, self._detail, self._began = title, "", time.monotonic()
        if not self._console.is_terminal:
            self._console.print(f"==> {title}", highlight=False)
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
        """The line that stays: what the step did and how long it took."""
        if self._console.is_terminal:
            self._console.print(
                f"[green]✓[/] {title:<14} [dim]{seconds:6.1f} s[/]  {result}", highlight=False, soft_wrap=True
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
            # Without a terminal: one line every ten seconds is enough to see that it lives, and keeps CI logs short.
            if self._live is None and now - self._last_plain >= 10:
                self._last_plain = now
                line = f"    [{now - self._began:5.0f} s] {self._detail[:160]}"
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _line(self) -> Spinner:
        elapsed = time.monotonic() - self._began
        text = Text.assemble((self._title, "bold"), f" {elapsed:4.0f} s  ", (self._detail, "dim"))
        text.truncate(max(self._console.width - 4, 20), overflow="ellipsis")
        return Spinner("dots", text=text)
