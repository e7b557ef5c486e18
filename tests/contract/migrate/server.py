"""PostgreSQL in a container of the pinned image, or a server that is already there (TOLLGATE_TEST_POSTGRES)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from testcontainers.core.container import DockerContainer

from tests.support.engine import on_loopback
from tests.support.eventually import eventually
from tests.support.images import image


@dataclass(frozen=True)
class Server:
    """A PostgreSQL whose `user` may create databases."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def connect(self, database: str) -> psycopg.Connection[Any]:
        return psycopg.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            autocommit=True,
            connect_timeout=5,
        )

    def answers(self) -> bool:
        try:
            with self.connect("postgres"):
                return True
        except psycopg.OperationalError as error:
            raise AssertionError(str(error)) from error


@contextmanager
def running_server(directory: Path) -> Iterator[Server]:
    """Yield a server; TOLLGATE_TEST_POSTGRES=postgresql://user:password@host:port saves the container."""
    given = os.environ.get("TOLLGATE_TEST_POSTGRES")
    if given:
        url = urlsplit(given)
        assert url.hostname and url.username and url.password
        yield Server(url.hostname, url.port or 5432, url.username, url.password)
        return
    password = secrets.token_urlsafe(16)
    password_file = directory / "password"
    password_file.write_text(password)
    password_file.chmod(0o444)  # read by the image's own uid; the directory above it is this user's alone
    os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its image is not available without a registry
    container = on_loopback(DockerContainer(image("POSTGRES_IMAGE")), 5432)
    container.with_envs(POSTGRES_USER="litellm", POSTGRES_PASSWORD_FILE="/run/password")
    container.with_volume_mapping(str(password_file), "/run/password", "ro")
    with container:
        server = Server("127.0.0.1", int(container.get_exposed_port(5432)), "litellm", password)
        eventually(server.answers, within=90)
        yield server
