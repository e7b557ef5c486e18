"""A real PostgreSQL with an empty database for each test, and the migrate job as a process."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.contract.migrate.server import Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@dataclass
class Job:
    """The migrate job against one database, as `python -m tollgate.migrate` in its own process."""

    server: Server
    database: str
    password_file: Path
    overrides: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": "src",
            "POSTGRES_HOST": self.server.host,
            "POSTGRES_PORT": str(self.server.port),
            "POSTGRES_USER": self.server.user,
            "POSTGRES_DB": self.database,
            "POSTGRES_PASSWORD_FILE": str(self.password_file),
            **self.overrides,
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tollgate.migrate", *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=300)
        assert "Traceback" not in err
        assert self.server.password not in out + err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def query(self, text: str, *values: object) -> list[tuple[Any, ...]]:
        with self.server.connect(self.database) as connection:
            cursor = connection.execute(text, values or None)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def finished(self) -> list[str]:
        rows = self.query(
            "SELECT migration_name FROM _prisma_migrations"
            " WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY finished_at"
        )
        return [row[0] for row in rows]


@pytest.fixture
def job(server: Server, tmp_path: Path) -> Iterator[Job]:
    database = f"migrate_{secrets.token_hex(4)}"
    password_file = tmp_path / "postgres_password"
    password_file.write_text(server.password + "\n")
    with server.connect("postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    yield Job(server, database, password_file)
    with server.connect("postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))


@pytest.fixture
def hold(job: Job) -> Iterator[psycopg.Connection[Any]]:
    """A second session in the job's database, with which a test holds locks."""
    with job.server.connect(job.database) as connection:
        yield connection


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Write migrations and return the argument that names their directory."""
    directory = tmp_path / "migrations"

    def write(**scripts: str) -> str:
        for name, script in scripts.items():
            (directory / name).mkdir(parents=True, exist_ok=True)
            (directory / name / "migration.sql").write_text(script)
        return f"--migrations={directory}"

    return write
