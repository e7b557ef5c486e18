"""Builds the two indexes that LiteLLM adds after its migrations, and rebuilds unusable ones.

LiteLLM's own migration job does both; our job replaces it. Every build is CONCURRENTLY, so a running gateway can write
its spend log at the same time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from psycopg import sql

from tollgate.migrate.database import Connection


@dataclass(frozen=True)
class LogIndex:
    """An index on the spend log under the name that Prisma derives from LiteLLM's schema."""

    name: str
    table: str
    columns: tuple[str, ...]


# REQUEST_LOG_INDEXES of litellm_proxy_extras/request_log_indexes.py; a contract test compares the two.
LOG_INDEXES = (
    LogIndex("LiteLLM_SpendLogs_api_key_startTime_idx", "LiteLLM_SpendLogs", ("api_key", "startTime")),
    LogIndex("LiteLLM_SpendLogs_litellm_call_id_idx", "LiteLLM_SpendLogs", ("litellm_call_id",)),
)
# An interrupted REINDEX CONCURRENTLY leaves an index with one of these words in its name.
_LEFTOVER = ("_ccnew", "_ccold")


def unusable(connection: Connection) -> list[str]:
    """Names of indexes on LiteLLM's tables that are invalid: PostgreSQL updates them but never uses them."""
    rows = connection.execute(
        """SELECT i.relname FROM pg_index x
             JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
            WHERE NOT x.indisvalid AND starts_with(t.relname, 'LiteLLM_')
              AND i.relkind = 'i' AND i.relnamespace = 'public'::regnamespace
            ORDER BY i.relname"""
    ).fetchall()
    return [row[0] for row in rows]


def missing(connection: Connection) -> list[LogIndex]:
    """The log indexes that do not exist yet. LiteLLM's own scripts handle a partitioned log."""
    rows = connection.execute(
        """SELECT t.relname, coalesce(array_agg(i.relname) FILTER (WHERE i.relname IS NOT NULL), '{}')
             FROM pg_class t LEFT JOIN pg_index x ON x.indrelid = t.oid LEFT JOIN pg_class i ON i.oid = x.indexrelid
            WHERE t.relkind = 'r' AND t.relnamespace = 'public'::regnamespace AND t.relname = ANY(%s)
            GROUP BY t.relname""",
        ([index.table for index in LOG_INDEXES],),
    ).fetchall()
    existing: dict[str, list[str]] = dict(rows)
    return [index for index in LOG_INDEXES if index.table in existing and index.name not in existing[index.table]]


def finish(connection: Connection, say: Callable[[str], None]) -> int:
    """Build missing indexes and rebuild unusable ones; return their number. After an interruption, run it again."""
    todo = missing(connection)
    for index in todo:
        say(f"building index {index.name}")
        columns = sql.SQL(", ").join(sql.Identifier(column) for column in index.columns)
        connection.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} ({})").format(
                sql.Identifier(index.name), sql.Identifier(index.table), columns
            )
        )
    broken = unusable(connection)
    for name in broken:
        if any(mark in name for mark in _LEFTOVER):
            connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(name)))
        else:
            say(f"rebuilding index {name}: an interrupted build left it unusable")
            connection.execute(sql.SQL("REINDEX INDEX CONCURRENTLY {}").format(sql.Identifier(name)))
    return len(todo) + len(broken)


def exists(connection: Connection, name: str) -> bool:
    row = connection.execute(
        "SELECT 1 FROM pg_class WHERE relkind IN ('i', 'I') AND relname = %s AND relnamespace = 'public'::regnamespace",
        (name,),
    ).fetchone()
    return row is not None
