from __future__ import annotations

import pytest

from tests.support.postgres_server import Server
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
