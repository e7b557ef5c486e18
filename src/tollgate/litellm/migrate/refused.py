"""The one error of this package that a person can act on (the job's image has no more of tollgate than this folder)."""

from __future__ import annotations


class Refused(Exception):  # noqa: N818  it names what happened, as the message printed from it does
    """Printed as an `error:` and a `hint:` line, exit 1. Never holds a secret."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"error: {self.message}\nhint:  {self.hint}"
