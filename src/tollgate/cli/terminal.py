"""Removes terminal control characters from everything that the command prints.

Tenants' names, providers' errors and container logs are printed in many places. So the filter is at the exit of this
process: `guard` filters the standard streams, and `Terminal` filters what Rich draws.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

# Control, invisible and direction-changing characters, lone surrogates, line and paragraph separators.
_CONTROL = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def safe(text: str) -> str:
    """`text` with U+FFFD for each control character. Line breaks and tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _CONTROL and char not in "\n\t" else char
        for char in text
    )


class Guarded(io.TextIOBase):
    """A text stream that writes only `safe` text. It has no `buffer`, so only Rich can bypass it."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # Rich writes its own codes there; `Terminal` filters the text

    def write(self, text: str, /) -> int:
        return self.rich_proxied_file.write(safe(text))

    def flush(self) -> None:
        self.rich_proxied_file.flush()

    def isatty(self) -> bool:
        return self.rich_proxied_file.isatty()

    def fileno(self) -> int:
        return self.rich_proxied_file.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.rich_proxied_file.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.rich_proxied_file.errors


def guard() -> None:
    """Make the standard streams write only `safe` text. A character that their encoding lacks becomes `?`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
            setattr(sys, name, Guarded(stream))


class Terminal(Console):
    """Rich's console with `safe` text. The codes that Rich itself makes pass unchanged."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(safe(segment.text), segment.style)
