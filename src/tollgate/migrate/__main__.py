"""`python -m tollgate.migrate`: the one-shot job; `--check` changes nothing.

The last line of a run is what it did, as JSON.
Exit codes: 0 applied, or up to date; 1 refused or failed; 2 (with --check only) migrations or indexes are pending.
Environment: POSTGRES_HOST, POSTGRES_PORT (5432), POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE; LITELLM_VERSION
is the default of --release.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import psycopg

from tollgate.errors import TollgateError
from tollgate.migrate import database, files, indexes, releases, run
from tollgate.migrate.decide import first_few

# Longer than a whole run on an empty database, and short enough for an operator who waits for a deploy.
LOCK_WAIT_S = 120.0
# Compose starts the job when Postgres is healthy; this covers a restart of Postgres after that.
DATABASE_WAIT_S = 30.0

UP_TO_DATE, FAILED, PENDING = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        shipped = files.load(options.migrations or files.shipped_directory())
        wanted = _wanted(options.release)
        target = database.DatabaseLogin.from_environment()
        with database.connect(target, wait_s=options.wait_for_database) as connection:
            if options.check:
                return _check(connection, shipped, wanted)
            done = run.apply(connection, shipped, lock_wait_s=options.lock_wait, say=_print, wanted=wanted)
            print(done.to_json(), flush=True)
            return UP_TO_DATE
    except TollgateError as refused:
        print(refused, file=sys.stderr)
    except psycopg.Error as error:
        lost = TollgateError(
            f"the database failed: {str(error).strip().splitlines()[0]}",
            "applied migrations stay; run it again when Postgres is healthy (make logs)",
        )
        print(lost, file=sys.stderr)
    return FAILED


def _wanted(release: str) -> Collection[str] | None:
    if not release:
        return None
    try:
        return releases.migrations(release)
    except KeyError:
        raise TollgateError(
            f"this image has no list of the migrations of LiteLLM {release}",
            f"it knows {', '.join(sorted(releases.known()))}; `make deploy` builds it again",
        ) from None


def _check(connection: database.Connection, shipped: Sequence[files.Migration], wanted: Collection[str] | None) -> int:
    work = run.look(connection, shipped, wanted)
    run.warn_of_edits(work, _print)
    waiting = [migration.name for migration in work.pending]
    if not waiting:  # indexes are built after the migrations
        waiting = [index.name for index in indexes.missing(connection)] + indexes.unusable(connection)
    if waiting:
        _print(f"{len(waiting)} pending: {first_few(waiting)}")
        return PENDING
    _print(f"0 pending, {len(shipped if wanted is None else wanted)} applied")
    return UP_TO_DATE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tollgate.migrate", description="Migrate LiteLLM's schema.")
    parser.add_argument(
        "--check", action="store_true", help="print what is pending and change nothing (exit 2 if anything is)"
    )
    parser.add_argument("--wait-for-database", type=float, default=DATABASE_WAIT_S, metavar="SECONDS")
    parser.add_argument("--lock-wait", type=float, default=LOCK_WAIT_S, metavar="SECONDS")
    parser.add_argument(
        "--migrations", type=Path, metavar="DIRECTORY", help="use these instead of the installed package's"
    )
    parser.add_argument(
        "--release",
        metavar="VERSION",
        default=os.environ.get("LITELLM_VERSION", ""),
        help="apply only what LiteLLM VERSION needs (default: everything shipped)",
    )
    return parser.parse_args(arguments)


def _print(line: str) -> None:
    print(f"migrate: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
