"""Errors that a person's input or the host causes.

    TollgateError            one `error:` line, one `hint:` line, exit 1
    ├── InputError           many problems at once, each with file:line (bad YAML, unknown keys, ...)
    └── StepError            a deploy step failed: step, cause, the container's last lines, what to do

    Mistake                  one wrong value, raised by a validator; becomes a Problem with its place

Every other exception is our own bug: the CLI prints one line and the name of the file that holds the traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, order=True)
class Problem:
    """One problem of one input file, printed as `error: file:line: path: message` and a `hint:` line.

    `line` is 1-based; 0 means the whole file. `path` is the dotted place inside the file
    (`budget.daily_limit`, `models[2].alias`), empty if the line says enough. A `warning` stops nothing.
    """

    file: Path
    line: int
    path: str
    message: str
    hint: str = ""
    level: Literal["error", "warning"] = "error"

    @property
    def placed(self) -> str:
        """The message with its place, on one line, without the hint."""
        file = str(self.file) if str(self.file).isprintable() else ascii(str(self.file))
        where = f"{file}:{self.line}" if self.line else file
        place = f"{self.path}: " if self.path else ""
        return f"{where}: {place}{self.message}"

    def __str__(self) -> str:
        hint = f"\nhint:  {self.hint}" if self.hint else ""
        return f"{self.level}: {self.placed}{hint}"


class Mistake(ValueError):  # noqa: N818  the word for a person
    """One wrong value: the message says what is wrong, the hint what to write instead."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class TollgateError(Exception):
    """A refusal that a person can act on. `hint` says what to do next and never contains a secret."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def with_hint(self, hint: str) -> TollgateError:
        """The same failure with other advice."""
        return TollgateError(self.message, hint)

    def __str__(self) -> str:
        return f"error: {self.message}" + (f"\nhint:  {self.hint}" if self.hint else "")


class InputError(TollgateError):
    """All problems in the operator's files, sorted by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__(f"{len(self.problems)} problem(s)")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class StepError(TollgateError):
    """A deploy step that failed. `log` holds the last lines of the failed container or build, with secrets masked."""

    def __init__(self, step: str, cause: str, hint: str = "", log: Iterable[str] = ()) -> None:
        super().__init__(f"{step}: {cause}", hint)
        self.step = step
        self.cause = cause
        self.log = tuple(log)

    def with_hint(self, hint: str) -> StepError:
        return StepError(self.step, self.cause, hint, self.log)

    def __str__(self) -> str:
        tail = "".join(f"\n  | {line}" for line in self.log)
        return f"error: {self.message}{tail}" + (f"\nhint:  {self.hint}" if self.hint else "")
