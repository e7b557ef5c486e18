"""The database end of the job: connecting, the lock that lets one job in at a time, and Prisma's ledger."""

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

from tollgate.litellm.migrate.decide import LedgerRow
from tollgate.litellm.migrate.files import Migration
from tollgate.litellm.migrate.refused import Refused

Connection = psycopg.Connection[tuple[Any, ...]]

# The key `prisma migrate deploy` locks, so that neither runs while the other does.
LOCK_KEY = 72707369
CONNECT_TIMEOUT_S = 10  # one attempt; a Postgres that is starting refuses at once, one that hangs must not hang us
RETRY_EVERY_S = 1.0
# Lets the server notice within seconds that a killed job is gone; otherwise its statement and its lock live on.
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
class Target:
    """Which database, from the job's environment; the password comes from a file and is never printed."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}/{self.database}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Target:
        names = ("POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE")
        missing = [name for name in names if not environment.get(name)]
        if missing:
            raise Refused(
                f"expected {', '.join(missing)} in the environment, found nothing",
                "the migrate service of compose/compose.yaml sets them; run the job through it",
            )
        host, user, database, password_file = (environment[name] for name in names)
        port = environment.get("POSTGRES_PORT", "5432")
        if not port.isdigit():
            raise Refused(f'POSTGRES_PORT: expected a number, found "{port}"', "leave it out for 5432")
        try:
            password = Path(password_file).read_text().strip()
        except OSError as error:
            raise Refused(
                f"{password_file}: expected the database password in this file, found: {error.strerror}",
                "POSTGRES_PASSWORD_FILE names it; the file must be readable by the job's user",
            ) from error
        return cls(host, int(port), user, database, password)


def connect(target: Target, *, wait_s: float) -> Connection:
    """Connect in autocommit mode, trying again for up to `wait_s` seconds while Postgres does not answer."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return _connect_once(target)
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())  # libpq writes several lines, the telling one anywhere
            if "password authentication failed" in reason:
                raise Refused(
                    f"{target}: Postgres refused the password",
                    "Postgres keeps the password it was first started with; secrets/ must hold that one",
                ) from error
            if time.monotonic() >= deadline:
                raise Refused(
                    f"{target}: Postgres did not answer within {wait_s:g} s: {reason}",
                    "see its log: make logs",
                ) from error
        time.sleep(RETRY_EVERY_S)


def _connect_once(target: Target) -> Connection:
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
    # Some platforms lack it; a killed job's lock then ends with its statement.
    with suppress(psycopg.errors.InvalidParameterValue):
        connection.execute(f"SET client_connection_check_interval = '{CHECK_CLIENT_EVERY}'")
    return connection


@contextmanager
def only_one(connection: Connection, *, wait_s: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the migration lock. Waits up to `wait_s` seconds for its holder, which is named.

    It polls: a session blocked inside pg_advisory_lock() holds a snapshot, and CREATE INDEX CONCURRENTLY in the
    holder would wait for that snapshot to go, for ever.
    """
    deadline = time.monotonic() + wait_s
    told = False
    while not _one(connection, "SELECT pg_try_advisory_lock(%s)", LOCK_KEY):
        holder = _holder(connection)
        if not told:
            say(f"waiting up to {wait_s:g} s: another migration is running ({holder})")
            told = True
        if time.monotonic() >= deadline:
            raise Refused(
                f"another migration has held the lock for over {wait_s:g} s: {holder}",
                "let it finish and run this again; if nothing is behind it any more, end that Postgres session",
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
        return "it has just let go"
    pid, name, address, since = row
    return f"{name or 'unnamed'} from {address}, Postgres pid {pid}, connected since {since:%Y-%m-%d %H:%M:%S} UTC"


def has_litellm_tables(connection: Connection) -> bool:
    query = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public' AND starts_with(tablename, %s))"
    return bool(_one(connection, query, "LiteLLM_"))


def ledger(connection: Connection) -> list[LedgerRow]:
    """Read Prisma's ledger, oldest first; no table is an empty ledger (and it is not created here)."""
    if not _one(connection, "SELECT to_regclass(%s) IS NOT NULL", "public._prisma_migrations"):
        return []
    rows = connection.execute(
        """SELECT id, migration_name, checksum, finished_at IS NOT NULL, rolled_back_at IS NOT NULL, coalesce(logs, '')
             FROM _prisma_migrations ORDER BY started_at, migration_name"""
    ).fetchall()
    return [LedgerRow(*row) for row in rows]


def create_ledger(connection: Connection) -> None:
    connection.execute(LEDGER_DDL)


def record_start(connection: Connection, migration: Migration) -> str:
    """Write that a migration begins; inside a transaction the row appears only if the migration does."""
    row_id = str(uuid.uuid4())
    connection.execute(
        """INSERT INTO _prisma_migrations (id, checksum, migration_name, started_at)
           VALUES (%s, %s, %s, clock_timestamp())""",
        (row_id, migration.checksum, migration.name),
    )
    return row_id


def record_finish(connection: Connection, row_id: str) -> None:
    """Write that it is done, the way Prisma does: one step per migration file."""
    connection.execute(
        "UPDATE _prisma_migrations SET finished_at = clock_timestamp(), applied_steps_count = 1 WHERE id = %s",
        (row_id,),
    )


def record_rolled_back(connection: Connection, rows: tuple[LedgerRow, ...]) -> None:
    """Set cut-off rows aside, as `prisma migrate resolve --rolled-back` would."""
    for row in rows:
        connection.execute("UPDATE _prisma_migrations SET rolled_back_at = clock_timestamp() WHERE id = %s", (row.id,))


def _one(connection: Connection, query: LiteralString, value: object) -> object:
    row = connection.execute(query, (value,)).fetchone()
    return row[0] if row else None
