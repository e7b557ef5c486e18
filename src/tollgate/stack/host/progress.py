"""The progress of a long step. The CLI shows it with rich; tests collect it. Code in `stack` never prints."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol


class Progress(Protocol):
    """Steps report here. Several threads may call both methods, which must not raise."""

    def say(self, text: str) -> None:
        """Show one line that stays on the screen: what happens next, or what was found."""

    def detail(self, text: str) -> None:
        """Show the latest line of output, or what the step waits for. The next line replaces it."""


@dataclass
class PlainProgress:
    """Collects the lines and shows nothing, for tests and quiet callers."""

    said: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)


class Display(Progress, Protocol):
    """Shows the steps of a deploy, for example the CLI's StepDisplay."""

    def step(self, title: str) -> AbstractContextManager[None]: ...

    def done(self, title: str, seconds: float, result: str) -> None: ...
