"""Runs the command line. A mistake prints `error:` and `hint:`; a bug prints one line and the name of a file."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from tollgate import disk
from tollgate.cli.app import app
from tollgate.cli.crash import report_to
from tollgate.cli.terminal import guard
from tollgate.errors import TollgateError
from tollgate.site import Site

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

INTERRUPTED = 130


def main() -> None:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 changes pending (plan), 130 interrupted."""
    sys.stdout = _named(sys.stdout)
    guard()
    report_to(Site.here().logs_dir)
    try:
        # Not app(), because Typer would install its own exception handler.
        code = typer.main.get_command(app)(standalone_mode=False)
        sys.stdout.flush()
    except TollgateError as error:
        _fail(str(error))
    except typer.Abort:
        _fail("Aborted!")
    except TyperException as mistake:
        # Typer would exit with 2, and for a plan 2 means "changes pending".
        mistake.show()  # type: ignore[attr-defined]  # every error that comes here has it
        sys.exit(1)
    except BrokenPipeError:
        # The reader of our output has closed the pipe.
        _discard(sys.stdout)
        sys.exit(1)
    except OSError as error:
        refusal = disk.refusal(error)
        if refusal is None:
            raise
        _discard(sys.stdout)
        _fail(str(refusal))
    if code == INTERRUPTED:
        sys.stderr.write("\ninterrupted; run the same command again: it continues from there\n")
    sys.exit(code)


def _fail(text: str) -> NoReturn:
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    sys.exit(1)


class _Output(io.FileIO):
    """An open file whose errors carry its name. The system's own errors carry only a number."""

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            error.filename = "standard output"
            with suppress(OSError):
                error.filename = str(Path(f"/proc/self/fd/{self.fileno()}").readlink())
            raise


def _named(stream: TextIO) -> TextIO:
    """The same stream; its errors name the file it writes to."""
    buffered = io.BufferedWriter(_Output(stream.fileno(), "w", closefd=False))
    return io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=stream.isatty())


def _discard(stream: TextIO) -> None:
    """Discard the buffered text of this stream. Otherwise Python writes it again at exit, and fails again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    main()
