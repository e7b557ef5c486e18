"""Reports an unexpected exception: one line on the terminal, the traceback in a file that only its owner can read."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from tollgate import disk


def report_to(directory: Path) -> None:
    """Write tracebacks of uncaught exceptions to `directory` from now on."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        try:
            hint = f"please report it with {_write(directory, text)}"
        except OSError as why:
            hint = (
                f"{directory} is not writable ({why.strerror}), so the details are lost; run the command as its owner"
            )
        sys.stderr.write(f"error: a bug in Tollgate: {kind.__name__}\nhint:  {hint}\n")

    sys.excepthook = hook


def _write(directory: Path, text: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"crash-{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.log"
    # 0600 from the first byte: a traceback can contain a secret.
    disk.create(path, text, 0o600)
    return path
