from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.postgres_server import Server
from tests.support.redis_server import PROGRAM, redis_server
from tests.unit.services.gateway.own.books import Books, migrated


@pytest.fixture(scope="session")
def migrated_server(server: Server) -> Server:
    migrated(server)
    return server


@pytest.fixture
def books(migrated_server: Server) -> Books:
    books = Books(migrated_server)
    books.empty()
    return books


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    if PROGRAM is None:
        pytest.skip("this machine has no Redis")
    with redis_server() as address:
        yield address
