"""Applies the pending migrations. Each is applied completely and recorded, or it leaves no trace.

    lock → read the ledger → decide → one transaction a migration (with its ledger row) → LiteLLM's own indexes

So after a kill, run the job again; nothing else is necessary.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import psycopg

from tollgate.errors import TollgateError
from tollgate.migrate import database, indexes, notices, sql
from tollgate.migrate.applied import Migrated
from tollgate.migrate.database import Connection
from tollgate.migrate.decide import LedgerRow, Work, decide, first_few
from tollgate.migrate.files import Migration

PROGRESS_EVERY = 20
# While an ALTER TABLE waits for a lock, every later query on that table waits too. On a running gateway the job must
# stop early and be run again, before it blocks all traffic.
LOCK_TIMEOUT = "20s"
Say = Callable[[str], None]


def look(connection: Connection, shipped: Sequence[Migration], wanted: Collection[str] | None = None) -> Work:
    """Find the pending work; write nothing. Raises `TollgateError` as `decide` does."""
    has_tables = database.has_litellm_tables(connection)
    return decide(shipped, database.ledger(connection), has_tables=has_tables, wanted=wanted)


def apply(
    connection: Connection,
    shipped: Sequence[Migration],
    *,
    lock_wait_s: float,
    say: Say,
    wanted: Collection[str] | None = None,
) -> Migrated:
    """Apply everything that is pending, and report progress with `say`, one line at a time. Raises TollgateError."""
    began = time.monotonic()
    with database.only_one(connection, wait_s=lock_wait_s, say=say):
        work = look(connection, shipped, wanted)  # after the lock: the job that held it has changed the ledger
        warn_of_edits(work, say)
        database.create_ledger(connection)
        total, needed = len(work.pending), len(shipped if wanted is None else wanted)
        if total:
            say(f"{total} of {needed} to apply")
        for number, migration in enumerate(work.pending, start=1):
            _apply_migration(connection, migration, work.cut_off.get(migration.name, ()), say)
            if number % PROGRESS_EVERY == 0 and number < total:
                say(f"{number} of {total} applied, last {migration.name}")
        built = indexes.finish(connection, say)
        notices.ensure(connection)
    seconds = time.monotonic() - began
    done = Migrated(total, needed - total, built, round(seconds, 1))
    say(f"done: {done}")
    return done


def warn_of_edits(work: Work, say: Say) -> None:
    if work.edited:
        say(f"warning: {len(work.edited)} migration(s) differ from what was applied here: {first_few(work.edited)}")


def _apply_migration(connection: Connection, migration: Migration, cut_off: tuple[LedgerRow, ...], say: Say) -> None:
    if cut_off:
        say(f"an earlier run of {migration.name} was interrupted; trying it again")
    statements = sql.statements(migration.sql)
    try:
        if any(sql.outside_a_transaction(statement) for statement in statements):
            _apply_unprotected(connection, migration, statements, cut_off)
        else:
            _apply_whole(connection, migration, cut_off)
    except psycopg.errors.LockNotAvailable as error:
        raise TollgateError(
            f"migration {migration.name}: another session uses its table; the migration was rolled back",
            "run it again when there is less traffic; applied migrations stay",
        ) from error
    except psycopg.Error as error:
        raise TollgateError(f"migration {migration.name}: {_reason(error)}", _hint(error, cut_off)) from error


def _apply_whole(connection: Connection, migration: Migration, cut_off: tuple[LedgerRow, ...]) -> None:
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
        database.record_rolled_back(connection, cut_off)
        row_id = database.record_start(connection, migration)
        connection.execute(migration.sql.encode())
        database.record_finish(connection, row_id)


def _apply_unprotected(
    connection: Connection, migration: Migration, statements: Sequence[str], cut_off: tuple[LedgerRow, ...]
) -> None:
    """Run the statements one by one without a transaction, because PostgreSQL refuses one of them inside it.

    It skips indexes that exist. Like Prisma, it writes the ledger row first, so a kill leaves a cut-off row and the
    next run tries again. A killed index build leaves an unusable index with this name: `indexes.finish` rebuilds it.
    """
    database.record_rolled_back(connection, cut_off)
    row_id = database.record_start(connection, migration)
    for statement in statements:
        index = sql.concurrent_index(statement)
        if index is None or not indexes.exists(connection, index):
            connection.execute(statement.encode())
    database.record_finish(connection, row_id)


def _reason(error: psycopg.Error) -> str:
    detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
    if error.diag.message_primary:
        return f"{error.diag.message_primary}{detail} [SQLSTATE {error.sqlstate}]"
    return str(error).strip().splitlines()[0]


def _hint(error: psycopg.Error, cut_off: tuple[LedgerRow, ...]) -> str:
    if cut_off and isinstance(error, _ALREADY_THERE):
        ids = ", ".join(row.id for row in cut_off)
        return (
            "another tool applied it and was killed before it recorded that. If all its objects exist, set "
            f"finished_at = now() and applied_steps_count = 1 in _prisma_migrations where id is {ids}"
        )
    if isinstance(error, psycopg.OperationalError):
        return "the connection was lost; applied migrations stay. Run it again when Postgres is up"
    return "this migration was rolled back; if you changed the schema by hand, undo that and run it again"


_ALREADY_THERE = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
    psycopg.errors.DuplicateObject,
)
