"""`python -m tollgate.litellm.migrate`: the one-shot job; `--check` only looks.

Exit codes: 0 applied, or up to date; 2 (--check only) something is pending; 1 refused or failed.
Environment: POSTGRES_HOST, POSTGRES_PORT (5432), POSTGRES_USER, POSTGRES_DB, POSTGRES_PASSWORD_FILE; LITELLM_VERSION
stands for --release.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import psycopg

from tollgate.litellm.migrate import database, files, indexes, releases, run
from tollgate.litellm.migrate.decide import some
from tollgate.litellm.migrate.refused import Refused

# Longer than a whole run on an empty database takes, shorter than anyone watches a deploy that does not move.
LOCK_WAIT_S = 120.0
# Compose starts the job once Postgres is healthy; this covers a restart in between.
DATABASE_WAIT_S = 30.0

UP_TO_DATE, FAILED, PENDING = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        shipped = files.load(options.migrations or files.shipped_directory())
        wanted = _wanted(options.release)
        target = database.Target.from_environment()
        with database.connect(target, wait_s=options.wait_for_database) as connection:
            if options.check:
                return _check(connection, shipped, wanted)
            run.apply(connection, shipped, lock_wait_s=options.lock_wait, say=_say, wanted=wanted)
            return UP_TO_DATE
    except Refused as refused:
        print(refused, file=sys.stderr)
    except psycopg.Error as error:
        lost = Refused(
            f"the database gave up: {str(error).strip().splitlines()[0]}",
            "what was applied so far stays; run it again once Postgres is healthy (make logs)",
        )
        print(lost, file=sys.stderr)
    return FAILED


def _wanted(release: str) -> Collection[str] | None:
    if not release:
        return None
    try:
        return releases.migrations(release)
    except KeyError:
        raise Refused(
            f"there is no list of the migrations of LiteLLM {release}",
            f"this image knows {', '.join(sorted(releases.known()))}; `make deploy` builds it anew",
        ) from None


def _check(connection: database.Connection, shipped: Sequence[files.Migration], wanted: Collection[str] | None) -> int:
    work = run.look(connection, shipped, wanted)
    run.warn_of_edits(work, _say)
    waiting = [migration.name for migration in work.pending]
    if not waiting:  # before its migrations are in, an index is not late
        waiting = [index.name for index in indexes.missing(connection)] + indexes.unusable(connection)
    if waiting:
        _say(f"{len(waiting)} pending: {some(waiting)}")
        return PENDING
    _say(f"0 pending, {len(shipped if wanted is None else wanted)} applied")
    return UP_TO_DATE


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tollgate.litellm.migrate", description="Migrate LiteLLM's schema.")
    parser.add_argument("--check", action="store_true", help="only say what is pending (exit 0, or 2 if anything is)")
    parser.add_argument("--wait-for-database", type=float, default=DATABASE_WAIT_S, metavar="SECONDS")
    parser.add_argument("--lock-wait", type=float, default=LOCK_WAIT_S, metavar="SECONDS")
    parser.add_argument("--migrations", type=Path, metavar="DIRECTORY", help="instead of the installed package's")
    parser.add_argument(
        "--release",
        metavar="VERSION",
        default=os.environ.get("LITELLM_VERSION", ""),
        help="no further than LiteLLM VERSION needs; else everything shipped",
    )
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    print(f"migrate: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
