"""PostgreSQL's image: the settings of a new cluster, a password from a file, data that survive the container."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.contract.images.conftest import Container, docker
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

Started = Callable[..., AbstractContextManager[Container]]
SecretFile = Callable[[str, str], Path]
PASSWORD = "correct horse battery"


@pytest.fixture
def options(volume: str, secret_file: SecretFile) -> list[str]:
    secret = secret_file("postgres_password", PASSWORD)
    return [
        *("--user", "999:999", "-v", f"{volume}:/var/lib/postgresql/data"),
        *("-v", f"{secret}:/run/secrets/postgres_password:ro"),
        *("-e", "POSTGRES_USER=litellm", "-e", "POSTGRES_DB=gateway"),
        *("-e", "POSTGRES_PASSWORD_FILE=/run/secrets/postgres_password", "-e", "POSTGRES_INITDB_ARGS=--data-checksums"),
        *("--tmpfs", "/tmp:mode=1777", "--tmpfs", "/var/run/postgresql:uid=999,gid=999"),  # noqa: S108
    ]


def query(container: Container, sql: str, password: str = PASSWORD) -> str:
    """Over TCP, to the container's own address: Postgres may trust loopback, but never other containers."""
    script = 'psql -h "$(hostname -i)" -U litellm -d gateway -Atc "$1"'
    return docker("exec", "-e", f"PGPASSWORD={password}", container.name, "sh", "-c", script, "sh", sql)


def answers(container: Container) -> None:
    try:
        eventually(lambda: query(container, "select 1"), within=90)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{container.logs()}") from None


def test_a_new_cluster_has_our_settings(started: Started, options: list[str]) -> None:
    with started("POSTGRES_IMAGE", "postgres", "-c", "max_connections=42", options=options) as postgres:
        answers(postgres)
        expected = {
            "data_checksums": "on",
            "server_encoding": "UTF8",
            "password_encryption": "scram-sha-256",
            "max_connections": "42",
            "listen_addresses": "*",
        }
        assert {setting: query(postgres, f"show {setting}") for setting in expected} == expected
        assert query(postgres, "show timezone") in ("UTC", "Etc/UTC")
        assert query(postgres, "select datcollate from pg_database where datname = 'gateway'") in (
            "C.UTF-8",
            "en_US.utf8",
        )
        with pytest.raises(AssertionError, match="password authentication failed"):
            query(postgres, "select 1", password="wrong")
        assert PASSWORD not in postgres.logs()
        assert PASSWORD not in docker("inspect", postgres.name)


def test_data_survive_the_container_and_the_scripts_run_once(
    started: Started, options: list[str], secret_file: SecretFile
) -> None:
    script = secret_file("10-role.sql", "create role monitor login in role pg_monitor;")
    options = [*options, "-v", f"{script}:/docker-entrypoint-initdb.d/10-role.sql:ro"]
    with started("POSTGRES_IMAGE", "postgres", options=options) as postgres:
        answers(postgres)
        query(postgres, "create table kept as select 'ledger'::text as what")
        docker("stop", "-t", "30", postgres.name)
        assert docker("inspect", "-f", "{{.State.ExitCode}}", postgres.name) == "0"
    with started("POSTGRES_IMAGE", "postgres", options=options) as postgres:
        answers(postgres)
        assert query(postgres, "select what from kept") == "ledger"
        assert query(postgres, "select count(*) from pg_roles where rolname = 'monitor'") == "1"


def test_a_half_created_cluster_is_created_again(
    started: Started, options: list[str], image: Callable[[str], str]
) -> None:
    if not image("POSTGRES_IMAGE").startswith("tollgate/postgres:"):
        pytest.skip("the official image does not promise this")
    halfway = "mkdir -p $PGDATA/.initialising/data $PGDATA/base && echo 17 > $PGDATA/.initialising/data/PG_VERSION"
    docker("run", "--rm", "--entrypoint", "sh", *options, image("POSTGRES_IMAGE"), "-c", halfway)
    with started("POSTGRES_IMAGE", "postgres", options=options) as postgres:
        answers(postgres)
        assert "starting over" in postgres.logs()


def test_files_that_are_not_a_cluster_are_not_changed(
    options: list[str], image: Callable[[str], str], started: Started
) -> None:
    docker("run", "--rm", "--entrypoint", "sh", *options, image("POSTGRES_IMAGE"), "-c", "echo mine > $PGDATA/notes")
    with started("POSTGRES_IMAGE", "postgres", options=options) as postgres:
        eventually(lambda: docker("inspect", "-f", "{{.State.Status}}", postgres.name) == "exited", within=60)
        assert docker("inspect", "-f", "{{.State.ExitCode}}", postgres.name) != "0"
    kept = docker("run", "--rm", "--entrypoint", "sh", *options, image("POSTGRES_IMAGE"), "-c", "cat $PGDATA/notes")
    assert kept == "mine"


def test_without_a_password_nothing_is_created(started: Started, options: list[str]) -> None:
    options = [part.replace("POSTGRES_PASSWORD_FILE=/run/secrets/postgres_password", "UNUSED=1") for part in options]
    with started("POSTGRES_IMAGE", "postgres", options=options) as postgres:
        eventually(lambda: docker("inspect", "-f", "{{.State.Status}}", postgres.name) == "exited", within=60)
        assert "password" in postgres.logs().lower()
