"""The project's own Postgres with LiteLLM's tables, as a deployment migrates it, and without LiteLLM."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from testcontainers.core.container import DockerContainer

from tests.contract.litellm.gateway import _migrate, _postgres
from tollgate.ledger import queries, rows
from tollgate.services.gateway.ledger import ship
from tollgate.stack.ledger import psql


@dataclass
class Database:
    """`sql` looks into it, `connect` is what a shipper is given, `ask` is how `tollgate` reads the ledger."""

    container: DockerContainer
    password: str = field(repr=False)

    @property
    def login(self) -> dict[str, Any]:
        # Docker gives another port with each start.
        port = int(self.container.get_exposed_port(5432))
        return {"host": "127.0.0.1", "port": port, "user": "litellm", "dbname": "litellm", "password": self.password}

    def sql(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(**self.login, autocommit=True) as connection:
            cursor = connection.execute(query.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    async def connect(self) -> ship.Connection:
        port = self.login["port"]
        return await ship.connect(f"host=127.0.0.1 port={port} user=litellm dbname=litellm", self.password)

    def ask(self, question: str, **values: str) -> rows.Json:
        """The psql of the container itself, as src/tollgate/stack/ledger.py asks it."""
        done = self.container.get_wrapped_container().exec_run(
            ["sh", "-c", 'printf %s "$0" | "$@"', question, *psql(values)]
        )
        assert done.exit_code == 0, done.output
        return rows.loads(done.output.decode())

    def tenant(self, name: str) -> rows.Json:
        return self.ask(queries.TENANT, tenant=name, since="2026-01-01", until="2099-01-01")


@contextmanager
def running_database(directory: Path) -> Iterator[Database]:
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image cannot be pulled without a registry
    password = secrets.token_hex(16)
    with _postgres(directory, password) as container:
        database = Database(container, password)
        _migrate(directory, database.login)
        yield database
