"""Keeps NUL out of the data that LiteLLM writes. Postgres refuses it, and LiteLLM would retry that batch forever.

The guard refuses NUL in names and ids. Texts of a conversation can contain it, and error messages can quote them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_BACKSLASH, _NUL, _INSTEAD = r"\\", r"\u0000", r"\ufffd"
# JSON text has no control character as such.
_MARK = "\0"


def without_nul(text: str) -> str:
    """JSON text with the replacement character in place of each NUL. JSON writes NUL as \\u0000.

    After an escaped backslash, the same characters are only text. No regular expression: a text of millions of
    backslashes would take it gigabytes.
    """
    if _NUL not in text:
        return text
    return text.replace(_BACKSLASH, _MARK).replace(_NUL, _INSTEAD).replace(_MARK, _BACKSLASH)


def _cleaned(dumps: Callable[..., str]) -> Callable[..., str]:
    def clean(obj: Any, **options: Any) -> str:
        return without_nul(dumps(obj, **options))

    return clean


def keep_nul_from_the_database() -> None:
    """Patch the function with which Prisma's client writes the arguments of a query, also those of raw SQL.

    If the function is missing, the replica does not start.
    """
    from prisma import _builder

    _builder.dumps = _cleaned(_builder.dumps)
