"""The job's database access: the connection, the lock that lets only one job run, and Prisma's ledger."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from tollgate.errors import TollgateError
from tollgate.migrate.decide import LedgerRow
from tollgate.migrate.files import Migration

Connection = psycopg.Connection[tuple[Any, ...]]

# `prisma migrate deploy` locks the same key, so the two never run at the same time.
LOCK_KEY = 72707369
CONNECT_TIMEOUT_S = (
    10  # per attempt; a starting Postgres refuses immediately, but one that hangs must not block the job
)
RETRY_EVERY_S = 1.0
# Postgres then notices a killed job within seconds. Otherwise its statement and its lock would stay.
CHECK_CLIENT_EVERY = "5s"

LEDGER_DDL = """
CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                  VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum            VARCHAR(64) NOT NULL,
    finished_at         TIMESTAMPTZ,
    migration_name      VARCHAR(255) NOT NULL,
    logs                TEXT,
    rolled_back_at      TIMESTAMPTZ,
    started_at          TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count INTEGER NOT NULL DEFAULT 0
)"""


@dataclass(frozen=True)
class DatabaseLogin:
    """Address and login of the database, from the job's environment. The password is never printed."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> DatabaseLogin:
        names = ("POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise TollgateError(
                f"expected {', '.join(missing)} in the environment, found nothing",
                "the `migrate` service in compose/compose.yaml sets them; run the job through that service",
            )
        host, user, database, password_file = (environment[name] for name in names)
        port = environment.get("POSTGRES_PORT", "5432")
        if not port.isdigit():
            raise TollgateError(f'POSTGRES_PORT: expected a number, found "{port}"', "leave it out for 5432")
        try:
            password = Path(password_file).read_text().strip()
        except OSError as error:
            raise TollgateError(
                f"{password_file}: expected the database password in this file, found: {error.strerror}",
                "POSTGRES_PASSWORD_FILE names this file; the job's user must be able to read it",
            ) from error
        return cls(host, int(port), user, database, password)


def connect(target: DatabaseLogin, *, wait_s: float) -> Connection:
    """Connect in autocommit mode. While Postgres does not answer, retry for up to `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return _connect_once(target)
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())  # libpq writes several lines; the important one can be any of them
            if "password authentication failed" in reason:
                raise TollgateError(
                    f"{target}: Postgres refused the password",
                    "Postgres keeps its first password; secrets/ must contain that password",
                ) from error
            if time.monotonic() >= deadline:
                raise TollgateError(
                    f"{target}: Postgres did not answer within {wait_s:g} s: {reason}",
                    "its log shows why: make logs",
                ) from error
        time.sleep(RETRY_EVERY_S)


def _connect_once(target: DatabaseLogin) -> Connection:
    connection = psycopg.connect(
        host=target.host,
        port=target.port,
        user=target.user,
        dbname=target.database,
        password=target.password,
        connect_timeout=CONNECT_TIMEOUT_S,
        autocommit=True,
        application_name=f"tollgate-migrate/{os.uname().nodename}",
        options="-c search_path=public -c timezone=UTC -c statement_timeout=0",
        keepalives_idle=30,
    )
    # Some platforms lack this setting; there the lock of a killed job ends with its statement.
    with suppress(psycopg.errors.InvalidParameterValue):
        connection.execute(f"SET client_connection_check_interval = '{CHECK_CLIENT_EVERY}'")
    return connection


@contextmanager
def only_one(connection: Connection, *, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the migration lock. If another session holds it, print which, and wait up to `wait_s` seconds.

    It polls, because a session that is blocked in pg_advisory_lock() holds a snapshot. CREATE INDEX CONCURRENTLY in the
    other session would wait for that snapshot: a deadlock.
    """
    deadline = time.monotonic() + wait_s
    announced = False
    while not _scalar(connection, "SELECT pg_try_advisory_lock(%s)", LOCK_KEY):
        holder = _holder(connection)
        if not announced:
            say(f"waiting up to {wait_s:g} s: another migration is running ({holder})")
            announced = True
        if time.monotonic() >= deadline:
            raise TollgateError(
                f"another migration has held the lock for over {wait_s:g} s: {holder}",
                "let it finish and run this again; if its program no longer runs, end that Postgres session",
            )
        time.sleep(RETRY_EVERY_S)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))


def _holder(connection: Connection) -> str:
    row = connection.execute(
        """SELECT a.pid, a.application_name, coalesce(host(a.client_addr), 'local'), a.backend_start
             FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
              AND (l.classid::bigint << 32) + l.objid::bigint = %s
              AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())""",
        (LOCK_KEY,),
    ).fetchone()
    if row is None:
        return "it has just ended"
    pid, name, address, since = row
    return f"{name or 'unnamed'} from {address}, Postgres pid {pid}, connected since {since:%Y-%m-%d %H:%M:%S} UTC"


def has_litellm_tables(connection: Connection) -> bool:
    query = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public' AND starts_with(tablename, %s))"
    return bool(_scalar(connection, query, "LiteLLM_"))


def ledger(connection: Connection) -> list[LedgerRow]:
    """Read Prisma's ledger, oldest first. A missing table is an empty ledger; it is not created here."""
    if not _scalar(connection, "SELECT to_regclass(%s) IS NOT NULL", "public._prisma_migrations"):
        return []
    rows = connection.execute(
        """SELECT id, migration_name, checksum, finished_at IS NOT NULL, rolled_back_at IS NOT NULL, coalesce(logs, '')
             FROM _prisma_migrations ORDER BY started_at, migration_name"""
    ).fetchall()
    return [LedgerRow(*row) for row in rows]


def create_ledger(connection: Connection) -> None:
    connection.execute(LEDGER_DDL)


def record_start(connection: Connection, migration: Migration) -> str:
    """Record that a migration begins; return the row's id. A rollback of the transaction removes the row."""
    row_id = str(uuid.uuid4())
    connection.execute(
        """INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at)
           VALUES (%s, %s, %s, clock_timestamp())""",
        (row_id, migration.checksum, migration.name),
    )
    return row_id


def record_finish(connection: Connection, row_id: str) -> None:
    """Record that it is done. Like Prisma, it counts one step per migration file."""
    connection.execute(
        "UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = %s",
        (row_id,),
    )


def record_rolled_back(connection: Connection, rows: tuple[LedgerRow, ...]) -> None:
    """Mark interrupted rows as rolled back, as `prisma migrate resolve --rolled-back` does."""
    for row in rows:
        connection.execute("UPDATE _prisma_migrations SET rolled_back_at = clock_timestamp() WHERE id = %s", (row.id,))


def _scalar(connection: Connection, query: LiteralString, value: object) -> object:
    row = connection.execute(query, (value,)).fetchone()
    return row[0] if row else None
