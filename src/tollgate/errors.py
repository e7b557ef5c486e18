"""What goes wrong because of what a person wrote or what the host is like.

    TollgateError            one `error:` line, one `hint:` line, exit 1
    ├── InputError           many problems at once, each with file:line (bad YAML, unknown keys, ...)
    └── StepError            a deploy step failed: step, cause, the container's last lines, what to do

Anything that is not a TollgateError is our own bug: the CLI prints one line and where the traceback is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with one input file, printed as `error: file:line: path: message` and a `hint:` line.

    `line` is 1-based; 0 means the file as a whole. `path` is the dotted place inside the file
    (`budget.daily_limit`, `models[2].alias`), empty where the line says enough. A `warning` stops nothing.
    """

    file: Path
    line: int
    path: str
    message: str
    hint: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        file = str(self.file) if str(self.file).isprintable() else ascii(str(self.file))
        where = f"{file}:{self.line}" if self.line else file
        place = f"{self.path}: " if self.path else ""
        hint = f"\nhint:  {self.hint}" if self.hint else ""
        return f"{self.level}: {where}: {place}{self.message}{hint}"


class TollgateError(Exception):
    """A refusal a person can act on; `hint` says what to do next and never holds a secret."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"error: {self.message}" + (f"\nhint:  {self.hint}" if self.hint else "")


class InputError(TollgateError):
    """Every problem found in the operator's files, at once, sorted by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__(f"{len(self.problems)} problem(s)")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class StepError(TollgateError):
    """A deploy step that failed. `log` holds the last lines of the container or build at fault, secrets masked."""

    def __init__(self, step: str, cause: str, hint: str = "", log: Iterable[str] = ()) -> None:
        super().__init__(f"{step}: {cause}", hint)
        self.step = step
        self.log = tuple(log)

    def __str__(self) -> str:
        tail = "".join(f"\n  | {line}" for line in self.log)
        return f"error: {self.message}{tail}" + (f"\nhint:  {self.hint}" if self.hint else "")
