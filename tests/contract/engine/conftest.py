"""One PostgreSQL and one engine for the suite; tests that stop either take an engine of their own from `machine`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.engine import CONTRACT, Engine, EngineMachine, machines


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineMachine]:
    with machines(tmp_path_factory.mktemp("engine")) as started:
        with started.postgres.connect() as connection:
            # not UTC, so that an engine which reads dates in the session's zone is found out
            connection.execute("ALTER DATABASE contract SET timezone = 'Asia/Tokyo'")
            connection.execute((CONTRACT / "tables.sql").read_text())  # type: ignore[call-overload]  # a file, not a literal
        yield started


@pytest.fixture(scope="session")
def shared(machine: EngineMachine) -> Iterator[Engine]:
    with machine.engine() as engine:
        yield engine


@pytest.fixture
def engine(shared: Engine) -> Engine:
    """The suite's engine over empty tables."""
    shared.raw('TRUNCATE "Member", "Team", "Counter" RESTART IDENTITY', action="executeRaw")
    return shared
