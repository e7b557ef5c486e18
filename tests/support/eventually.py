"""The one way tests wait: poll until it holds, or fail with the last thing seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import httpx

T = TypeVar("T")


def eventually(what: Callable[[], T], *, within: float, every: float = 0.2) -> T:
    """Call `what` until it returns something truthy; return that value.

    An AssertionError and whatever goes wrong on the way to a server (OSError, HTTPX's own) count as not yet.

    `within` and `every` are seconds. On the deadline it raises AssertionError with the last value or error.
    Other exceptions are bugs of the test and pass through at once.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            value = what()
            if value:
                return value
            last = f"last value: {value!r}"
        except (AssertionError, OSError, httpx.TransportError) as error:
            last = f"last error: {type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            name = getattr(what, "__doc__", None) or getattr(what, "__name__", repr(what))
            raise AssertionError(f"not within {within:g} s: {name.strip()} ({last})")
        time.sleep(every)
