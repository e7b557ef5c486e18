"""The command line's border: people's mistakes print as `error:` and `hint:`, bugs as one line and a file."""

from __future__ import annotations

import sys

import typer
from typer.exceptions import TyperException

from tollgate.cli.app import app
from tollgate.cli.crash import report_to
from tollgate.errors import TollgateError
from tollgate.site import Site

INTERRUPTED = 130


def main() -> None:
    """Run the command; exit codes: 0 done, 1 refused or failed, 2 changes pending (plan), 130 interrupted."""
    report_to(Site.here().logs_dir)
    try:
        # Not app(): Typer would put its own handler of exceptions in front of ours.
        code = typer.main.get_command(app)(standalone_mode=False)
    except TollgateError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except typer.Abort:
        sys.stderr.write("Aborted!\n")
        sys.exit(1)
    except TyperException as mistake:
        # Typer would exit 2, which for a plan means that there is something to do.
        mistake.show()  # type: ignore[attr-defined]  # all that end up here have it
        sys.exit(1)
    if code == INTERRUPTED:
        sys.stderr.write("\ninterrupted; run the same command again, it goes on from where it can\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
