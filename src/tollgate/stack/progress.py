"""What a long step tells the person who waits for it.

The CLI shows it with rich, tests collect it. Code in `stack` never prints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Where steps report. Both calls may come from more than one thread and must not raise."""

    def say(self, text: str) -> None:
        """One line for the person: what is about to happen, or what was found. Kept on the screen."""

    def detail(self, text: str) -> None:
        """The latest line of output, or what is being waited for. The next one replaces it."""


@dataclass
class PlainProgress:
    """Collects instead of showing; for tests and for callers who want silence."""

    said: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)
