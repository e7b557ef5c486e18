"""What an unexpected exception leaves: one line for the person, the traceback in a file only its owner can read."""

from __future__ import annotations

import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType


def report_to(directory: Path) -> None:
    """From now on exceptions that nobody caught are written to `directory`."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        try:
            hint = f"please report it with {_keep(directory, text)}"
        except OSError as why:
            hint = f"its details could not be kept in {directory}: {why.strerror}; run the command as that owner"
        sys.stderr.write(f"error: a bug in Tollgate: {kind.__name__}\nhint:  {hint}\n")

    sys.excepthook = hook


def _keep(directory: Path, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.log"
    # 0600 from the first byte: a traceback can quote what the code worked on.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    return path
