"""Ends the parts that a group of tests shares, when the lane goes on to another group.

A fixture of session scope lives until its lane ends. A whole stack that no test needs any more takes a sixth of a core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

T = TypeVar("T")

_ENDS: list[Callable[[], None]] = []


@contextmanager
def until_the_group_ends(manager: AbstractContextManager[T]) -> Iterator[T]:
    """The value of `manager`, for a fixture of session scope. It ends with the group, or with the session."""
    with ExitStack() as ends:
        value = ends.enter_context(manager)
        _ENDS.append(ends.close)
        yield value


def end_group() -> None:
    """End all of them. None ends twice."""
    while _ENDS:
        _ENDS.pop()()
