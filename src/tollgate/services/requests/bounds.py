"""Limits on the size of a request: its bytes, and the number and depth of the values in its JSON.

Parsed JSON needs far more memory than its text: 93 MB of empty objects became gigabytes and killed one replica after
another. So values are counted before parsing: commas and opening brackets outside of strings are an upper limit. A body
of at most COUNTED_AFTER bytes cannot need much memory. It is parsed first, because counting its values then takes a few
microseconds, and reading all of its bytes three times takes 400 for 500 KB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SEPARATORS = (b",", b"{", b"[")
COUNTED_AFTER = 1024 * 1024
# `dict | list` would take five times as long, for each value of a body.
_CONTAINERS = (dict, list)


@dataclass(frozen=True)
class Bounds:
    """`body` is in bytes. `values` counts lists, objects and the values in them; `depth` counts nesting."""

    body: int = 32 * 1024 * 1024
    values: int = 200_000
    depth: int = 100


def too_many_values(body: bytes, most: int) -> bool:
    """Whether the JSON text `body` has more than `most` values. It does not parse the JSON."""
    if len(body) <= most or _separators(body) <= most:
        return False
    # Strings can contain commas and brackets too. Only those between the strings count. No regular expression finds
    # strings safely: with millions of escapes one takes hours, or gigabytes (CPython keeps a state for each).
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    strings = 2 * most + 2
    pieces = unescaped.split(b'"', 2 * strings)
    return len(pieces) > 2 * strings or _separators(b"".join(pieces[::2])) > most


def _separators(text: bytes) -> int:
    return sum(text.count(separator) for separator in _SEPARATORS)


def has_more_values(value: Any, most: int) -> bool:
    """The same of a `value` that is parsed already."""
    count, level = 0, [value] if isinstance(value, _CONTAINERS) else []
    while level and count <= most:
        count += sum(len(outer) or 1 for outer in level)
        level = _inside(level)
    return count > most


def too_deep(value: Any, most: int) -> bool:
    """Whether lists and objects are nested more than `most` deep. `value` is already parsed."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    for _ in range(most):
        if not level:
            return False
        level = _inside(level)
    return bool(level)


def _inside(level: list[Any]) -> list[Any]:
    """The lists and objects in those of `level`."""
    return [
        inner
        for outer in level
        for inner in (outer.values() if type(outer) is dict else outer)
        if isinstance(inner, _CONTAINERS)
    ]
