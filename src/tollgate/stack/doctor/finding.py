"""One line of the doctor's report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """FAIL: the gateway does not work or is not safe. WARN: it may fail soon. SKIP: the check did not run, and why."""

    level: Literal["PASS", "WARN", "FAIL", "SKIP"]
    check: str
    message: str
    hint: str = ""

    @classmethod
    def ok(cls, check: str, message: str) -> Finding:
        return cls("PASS", check, message)

    @classmethod
    def warn(cls, check: str, message: str, hint: str) -> Finding:
        return cls("WARN", check, message, hint)

    @classmethod
    def fail(cls, check: str, message: str, hint: str) -> Finding:
        return cls("FAIL", check, message, hint)

    @classmethod
    def skip(cls, check: str, why: str) -> Finding:
        return cls("SKIP", check, why)
