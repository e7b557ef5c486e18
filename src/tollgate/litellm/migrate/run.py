"""Bring a database up to the shipped migrations; each is applied whole and recorded, or neither.

    lock → read the ledger → decide → one transaction a migration (with its ledger row) → LiteLLM's own indexes

A job that is killed therefore needs nothing but to be run again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

import psycopg

from tollgate.litellm.migrate import database, indexes, sql
from tollgate.litellm.migrate.database import Connection
from tollgate.litellm.migrate.decide import LedgerRow, Work, decide, some
from tollgate.litellm.migrate.files import Migration
from tollgate.litellm.migrate.refused import Refused

PROGRESS_EVERY = 20
# An ALTER TABLE that waits for a lock makes every later query on that table wait behind it: on a gateway that is
# serving, give up early and be run again rather than stop all traffic.
LOCK_TIMEOUT = "20s"
Say = Callable[[str], None]


def look(connection: Connection, shipped: Sequence[Migration], wanted: Collection[str] | None = None) -> Work:
    """Compare without writing anything. Raises `Refused` as `decide` does."""
    has_tables = database.has_litellm_tables(connection)
    return decide(shipped, database.ledger(connection), has_tables=has_tables, wanted=wanted)


def apply(
    connection: Connection,
    shipped: Sequence[Migration],
    *,
    lock_wait_s: float,
    say: Say,
    wanted: Collection[str] | None = None,
) -> None:
    """Apply everything that is pending; says what it does, one plain line at a time."""
    began = time.monotonic()
    with database.only_one(connection, wait_s=lock_wait_s, say=say):
        work = look(connection, shipped, wanted)  # only now: the job we waited for has changed the ledger
        warn_of_edits(work, say)
        database.create_ledger(connection)
        total, of = len(work.pending), len(shipped if wanted is None else wanted)
        if total:
            say(f"{total} of {of} to apply")
        for number, migration in enumerate(work.pending, start=1):
            _apply_one(connection, migration, work.cut_off.get(migration.name, ()), say)
            if number % PROGRESS_EVERY == 0 and number < total:
                say(f"{number} of {total} applied, last {migration.name}")
        built = indexes.finish(connection, say)
    seconds = time.monotonic() - began
    say(f"done: {total} applied, {of - total} already there, {built} indexes built, {seconds:.1f} s")


def warn_of_edits(work: Work, say: Say) -> None:
    if work.edited:
        say(f"warning: {len(work.edited)} migration(s) differ from what was applied here: {some(work.edited)}")


def _apply_one(connection: Connection, migration: Migration, cut_off: tuple[LedgerRow, ...], say: Say) -> None:
    if cut_off:
        say(f"{migration.name} was cut off in an earlier run; trying it again")
    statements = sql.statements(migration.sql)
    try:
        if any(sql.outside_a_transaction(statement) for statement in statements):
            _apply_unprotected(connection, migration, statements, cut_off)
        else:
            _apply_whole(connection, migration, cut_off)
    except psycopg.errors.LockNotAvailable as error:
        raise Refused(
            f"migration {migration.name}: waited for a table that is in use; it was rolled back",
            "run it again at a quieter moment; what was applied so far stays",
        ) from error
    except psycopg.Error as error:
        raise Refused(f"migration {migration.name}: {_reason(error)}", _hint(error, cut_off)) from error


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
    """Run what PostgreSQL refuses in a transaction, statement by statement, leaving out indexes that are there.

    The ledger row is written first, as Prisma does, so a kill in here leaves a cut-off row; the next run comes here
    again. An index that a killed build left behind has the name and is unusable: `indexes.finish` rebuilds it.
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
            "another tool applied it and was killed before it could say so. If all its objects are there, set "
            f"finished_at = now() and applied_steps_count = 1 in _prisma_migrations where id is {ids}"
        )
    if isinstance(error, psycopg.OperationalError):
        return "the connection was lost; what was applied so far stays, run it again once Postgres is up"
    return "nothing of this migration was kept; if the schema was changed by hand, undo that and run it again"


_ALREADY_THERE = (
    psycopg.errors.DuplicateTable,
    psycopg.errors.DuplicateColumn,
    psycopg.errors.DuplicateObject,
)
