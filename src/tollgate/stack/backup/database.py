"""Postgres's tools in its own container: dump, count the rows of a dump, load, swap two databases.

The tools there have the server's version, and the socket inside the container needs no password.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from tollgate.errors import TollgateError
from tollgate.stack.host.run import PIPE, start

MAINTENANCE = "postgres"
_COPY = re.compile(rb'COPY public\.(?P<table>"(?:[^"]|"")+"|[^\s(]+) .*FROM stdin;\n')
_END_OF_COPY = b"\\.\n"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_COUNTS = """
SELECT format('SELECT %L, count(*) FROM public.%I', relname, relname) FROM pg_class
 WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname
\\gexec
"""
_MIGRATIONS = """
SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY 1;
"""
_HINT = "`make logs S=postgres` shows more"


@dataclass(frozen=True)
class Postgres:
    """A running container of the Postgres image; `user` owns the databases."""

    container: str
    user: str = "litellm"

    def sql(self, script: str, database: str = MAINTENANCE) -> str:
        """Run a script and return its output: one line per row, columns separated by tabs."""
        return self._run("psql", *_PSQL, "-d", database, given=script.encode()).decode()

    def version(self) -> str:
        return self.sql("SHOW server_version").split()[0]

    def size(self, database: str) -> int:
        return int(self.sql(f"SELECT pg_database_size('{name(database)}')"))

    def free(self) -> int:
        """Free bytes on its volume."""
        answer = self._run("sh", "-c", 'df -B1 --output=avail "$PGDATA" | tail -n 1')
        return int(answer)

    def rows(self, database: str) -> dict[str, int]:
        """Count the rows of every table."""
        lines = (line.split("\t") for line in self.sql(_COUNTS, database).splitlines())
        return {table: int(number) for table, number in lines}

    def migrations(self, database: str) -> tuple[str, ...]:
        """The names of LiteLLM's applied migrations. Empty if the database has no tables yet."""
        if not self.sql("SELECT to_regclass('public._prisma_migrations')", database).strip():
            return ()
        return tuple(self.sql(_MIGRATIONS, database).splitlines())  # one of the names has spaces

    def dump(self, database: str, to: IO[bytes]) -> None:
        """Write a consistent dump of the whole database in pg_dump's custom format."""
        self._run("pg_dump", "-d", name(database), "-Fc", "--no-owner", "--no-privileges", out=to)

    def rows_in(self, dump: IO[bytes]) -> dict[str, int]:
        """Rows of each table in a dump. pg_restore writes the whole dump as text, and this counts the lines."""
        rows: dict[str, int] = {}
        with tempfile.TemporaryFile() as errors:
            command = self._command("pg_restore", "--data-only", "--file=-")
            with start(command, stdin=dump, stdout=PIPE, stderr=errors) as process:
                assert process.stdout is not None  # noqa: S101 - asked for with PIPE
                table = ""
                for line in process.stdout:
                    if table:
                        if line == _END_OF_COPY:
                            table = ""
                        else:
                            rows[table] += 1
                    elif match := _COPY.fullmatch(line):
                        table = _unquoted(match["table"].decode())
                        rows[table] = 0
            if process.returncode:
                raise _failed("pg_restore", errors)
        return rows

    def load(self, dump: IO[bytes], database: str) -> None:
        """Create `database` from a dump, in one transaction. It must not exist yet."""
        self.sql(f"CREATE DATABASE {name(database)} TEMPLATE template0")
        options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
        self._run("pg_restore", "-d", database, *options, source=dump)
        self.sql("ANALYZE", database)

    def called(self, prefix: str) -> list[str]:
        """The databases whose names begin with `prefix`."""
        return [each for each in self.sql("SELECT datname FROM pg_database").split() if each.startswith(prefix)]

    def drop(self, database: str) -> None:
        self.sql(f"DROP DATABASE IF EXISTS {name(database)} WITH (FORCE)")

    def exchange(self, live: str, new: str, aside: str) -> None:
        """Rename `live` to `aside` and `new` to `live`, both or neither. Postgres closes all their connections."""
        live, new, aside = name(live), name(new), name(aside)
        # name() has checked the names, so they are safe in SQL.
        swap = (
            f"ALTER DATABASE {live} ALLOW_CONNECTIONS false",
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname IN ('{live}', '{new}')",  # noqa: S608
            "BEGIN",
            f"ALTER DATABASE {live} RENAME TO {aside}",
            f"ALTER DATABASE {new} RENAME TO {live}",
            "COMMIT",
        )
        try:
            self.sql(";\n".join(swap))
        except TollgateError:
            self.sql(f"ALTER DATABASE {live} ALLOW_CONNECTIONS true")
            raise
        self.sql(f"ALTER DATABASE {aside} ALLOW_CONNECTIONS true")

    def _command(self, tool: str, *arguments: str) -> list[str]:
        # pg_restore makes no connection when it only reads a dump.
        connects = tool in ("psql", "pg_dump") or "-d" in arguments
        user = ("-U", self.user) if connects else ()
        return ["docker", "exec", "-i", self.container, tool, *user, *arguments]

    def _run(
        self,
        tool: str,
        *arguments: str,
        given: bytes = b"",
        source: IO[bytes] | None = None,
        out: IO[bytes] | None = None,
    ) -> bytes:
        """Run a tool in the container. Its input is `source`, or `given` without one. `out` receives its output."""
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as answer:
            command = self._command(tool, *arguments)
            with start(command, stdin=PIPE, stdout=out or answer, stderr=errors) as process:
                assert process.stdin is not None  # noqa: S101 - asked for with PIPE
                try:
                    if source is not None:
                        shutil.copyfileobj(source, process.stdin, 1 << 20)
                    else:
                        process.stdin.write(given)
                    process.stdin.close()
                except BrokenPipeError:  # the tool ended early; its status and its output say why
                    with suppress(BrokenPipeError):
                        process.stdin.close()
            if process.returncode:
                raise _failed(tool, errors)
            answer.seek(0)
            return answer.read()


_PSQL = ("-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1")


def name(database: str) -> str:
    """The name itself, if SQL needs no quotes for it. ValueError otherwise."""
    if not _NAME.fullmatch(database):
        raise ValueError(f"{database!r} is not a plain database name")
    return database


def _unquoted(table: str) -> str:
    return table[1:-1].replace('""', '"') if table.startswith('"') else table


def _failed(tool: str, errors: IO[bytes]) -> TollgateError:
    errors.seek(0)
    lines = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    reason = next((line for line in lines if "error:" in line.lower()), lines[-1] if lines else "no message")
    return TollgateError(f"{tool}: {reason.strip()}", _HINT)
