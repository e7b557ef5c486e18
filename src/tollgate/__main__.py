"""The command line's border: people's mistakes print as `error:` and `hint:`, bugs as one line and a file."""

from __future__ import annotations

import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

from tollgate.cli.app import app
from tollgate.errors import TollgateError
from tollgate.site import Site


def main() -> None:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 changes pending (plan), 130 interrupted."""
    sys.excepthook = _report_bug
    try:
        app()
    except TollgateError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; run the same command again, it goes on from where it can\n")
        sys.exit(130)


def _report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    now = datetime.now(UTC)
    directory = Site.here().logs_dir
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"crash-{now:%Y%m%dT%H%M%S}.log"
    path.write_text("".join(traceback.format_exception(kind, error, trace)))
    path.chmod(0o600)  # a traceback can quote what it worked on
    sys.stderr.write(f"error: a bug in Tollgate: {kind.__name__}\nhint:  please report it with {path}\n")


if __name__ == "__main__":
    main()
