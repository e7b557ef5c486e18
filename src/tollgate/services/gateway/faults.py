"""Names a fault of ours for the log, without its words: those may quote the request."""

from __future__ import annotations

import traceback
from pathlib import Path

_PLACES = 8


def where(error: Exception) -> str:
    """The class of the exception and the last lines that it passed, the innermost at the end."""
    passed = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    lines = ", ".join(f"{Path(place.filename).name}:{place.lineno}" for place in passed)
    return f"{type(error).__name__} in {lines}" if lines else type(error).__name__
