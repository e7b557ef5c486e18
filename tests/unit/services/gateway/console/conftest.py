from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres_server import Server
from tests.support.redis_server import PROGRAM, redis_server
from tests.unit.services.gateway.own.books import Books, migrated


@pytest.fixture(scope="session")
def console_server(server: Server) -> Server:
    """LiteLLM's tables in a database of these tests' own."""
    migrated(server, "console")
    return server


@pytest.fixture
def books(console_server: Server) -> Books:
    books = Books(console_server, "console")
    books.empty()
    return books


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("this machine has no Redis")
    with redis_server() as address:
        yield address
