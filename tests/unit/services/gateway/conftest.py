from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import redis_server
from tests.support.postgres_server import PROGRAMS, Server, postgres_server
from tests.unit.services.gateway.database import Database


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if PROGRAMS is None:
        pytest.skip("this machine has no PostgreSQL")
    with postgres_server() as server:
        yield server


@pytest.fixture
def database(server: Server) -> Database:
    if server.process is None:
        server.start()
    made = Database(server)
    made.fresh()
    return made


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    if redis_server.PROGRAM is None:
        pytest.skip("this machine has no Redis")
    with redis_server.redis_server() as address:
        yield address
