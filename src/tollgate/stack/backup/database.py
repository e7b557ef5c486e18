"""Postgres through its own container: dump, what a dump holds, load, and the exchange of two databases.

Its tools are of its own version there, and the socket inside the container needs no password.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from tollgate.errors import TollgateError

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
_HINT = "`make logs S=postgres` tells more"


@dataclass(frozen=True)
class Postgres:
    """A running container of the Postgres image; `user` owns the databases."""

    container: str
    user: str = "litellm"

    def sql(self, script: str, database: str = MAINTENANCE) -> str:
        """Run a script; what it printed, a row a line, columns with a tab between them."""
        return self._run("psql", *_PSQL, "-d", database, given=script.encode()).decode()

    def version(self) -> str:
        return self.sql("SHOW server_version").split()[0]

    def size(self, database: str) -> int:
        return int(self.sql(f"SELECT pg_database_size('{name(database)}')"))

    def free(self) -> int:
        """Bytes that its volume has left."""
        answer = self._run("sh", "-c", 'df -B1 --output=avail "$PGDATA" | tail -n 1')
        return int(answer)

    def rows(self, database: str) -> dict[str, int]:
        """Rows of every table, counted."""
        lines = (line.split("\t") for line in self.sql(_COUNTS, database).splitlines())
        return {table: int(number) for table, number in lines}

    def migrations(self, database: str) -> tuple[str, ...]:
        """LiteLLM's migrations that were applied to it, by name; none where it has no tables yet."""
        if not self.sql("SELECT to_regclass('public._prisma_migrations')", database).strip():
            return ()
        return tuple(self.sql(_MIGRATIONS, database).splitlines())  # one of the names has spaces

    def dump(self, database: str, to: IO[bytes]) -> None:
        """Everything in it, as of one moment, in pg_dump's custom format."""
        self._run("pg_dump", "-d", name(database), "-Fc", "--no-owner", "--no-privileges", out=to)

    def rows_in(self, dump: IO[bytes]) -> dict[str, int]:
        """Rows of each table in a dump: pg_restore writes all of it out again, and what comes is counted."""
        rows: dict[str, int] = {}
        with tempfile.TemporaryFile() as errors:
            command = self._command("pg_restore", "--data-only", "--file=-")
            with subprocess.Popen(command, stdin=dump, stdout=subprocess.PIPE, stderr=errors) as process:
                assert process.stdout is not None  # noqa: S101 - asked for with PIPE
                table = ""
                for line in process.stdout:
                    if table:
                        if line == _END_OF_COPY:
                            table = ""
                        else:
                            rows[table] += 1
                    elif found := _COPY.fullmatch(line):
                        table = _unquoted(found["table"].decode())
                        rows[table] = 0
            if process.returncode:
                raise _failed("pg_restore", errors)
        return rows

    def load(self, dump: IO[bytes], database: str) -> None:
        """Make `database` of a dump, in one transaction; it must not exist yet."""
        self.sql(f"CREATE DATABASE {name(database)} TEMPLATE template0")
        options = ("--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges")
        self._run("pg_restore", "-d", database, *options, source=dump)
        self.sql("ANALYZE", database)

    def called(self, prefix: str) -> list[str]:
        """The databases whose names begin so."""
        return [found for found in self.sql("SELECT datname FROM pg_database").split() if found.startswith(prefix)]

    def drop(self, database: str) -> None:
        self.sql(f"DROP DATABASE IF EXISTS {name(database)} WITH (FORCE)")

    def exchange(self, live: str, new: str, aside: str) -> None:
        """`new` becomes `live`, what was `live` becomes `aside`: both or neither. Whoever is connected is cut off."""
        live, new, aside = name(live), name(new), name(aside)
        # The names are checked letters, no text of anybody's.
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
        # pg_restore connects to nothing where it only reads.
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
        """Run a tool in the container, `source` or else `given` its input, `out` where its output goes."""
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as answer:
            command = self._command(tool, *arguments)
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out or answer, stderr=errors) as process:
                assert process.stdin is not None  # noqa: S101 - asked for with PIPE
                try:
                    if source is not None:
                        shutil.copyfileobj(source, process.stdin, 1 << 20)
                    else:
                        process.stdin.write(given)
                    process.stdin.close()
                except BrokenPipeError:  # it ended early: its status and its words tell why
                    with suppress(BrokenPipeError):
                        process.stdin.close()
            if process.returncode:
                raise _failed(tool, errors)
            answer.seek(0)
            return answer.read()


_PSQL = ("-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1")


def name(database: str) -> str:
    """Database names are put into SQL as they are, so they are only ever of letters that need no quoting."""
    if not _NAME.fullmatch(database):
        raise ValueError(f"{database!r} is no plain database name")
    return database


def _unquoted(table: str) -> str:
    return table[1:-1].replace('""', '"') if table.startswith('"') else table


def _failed(tool: str, errors: IO[bytes]) -> TollgateError:
    errors.seek(0)
    said = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    telling = next((line for line in said if "error:" in line.lower()), said[-1] if said else "no message")
    return TollgateError(f"{tool}: {telling.strip()}", _HINT)
