"""Backup and restore on a real Postgres with LiteLLM's schema: every row comes back, and failures change nothing."""

from __future__ import annotations

import hashlib
import io
import subprocess
from pathlib import Path

import pytest

from tests.contract.backup.conftest import Server
from tests.support.eventually import eventually
from tests.support.site import new_home
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import archive
from tollgate.stack.backup.archive import DATABASE
from tollgate.stack.backup.database import Postgres
from tollgate.stack.backup.make import LIVE, Secrets, make
from tollgate.stack.host.progress import PlainProgress

pytestmark = pytest.mark.docker

LOGS = 20_000
# Text that COPY must escape, in columns that clients fill: the row counter reads COPY's text format.
ROWS = r"""
INSERT INTO "LiteLLM_TeamTable" (team_id, team_alias, models) VALUES ('acme', E'a\nb\\.\n\\N "c"', '{x,y}');
INSERT INTO "LiteLLM_SpendLogs" (request_id, call_type, api_key, spend, "startTime", "endTime", model, metadata)
SELECT 'r' || n, 'acompletion', 'k', n / 7.0, now(), now(), E'm\n\\.\nCOPY public.x (a) FROM stdin;\n',
       jsonb_build_object('text', repeat(E'\u00e9\n\\', 20))
  FROM generate_series({first}, {last}) AS n;
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_home(tmp_path / "home")


def write_rows(postgres: Postgres, first: int, last: int) -> None:
    postgres.sql(ROWS.replace("{first}", str(first)).replace("{last}", str(last)), LIVE)


def content(postgres: Postgres, database: str = LIVE) -> dict[str, str]:
    """A hash of all rows of each table that the test wrote."""
    question = 'SELECT t::text FROM "{}" t ORDER BY 1'
    tables = ("LiteLLM_SpendLogs", "LiteLLM_TeamTable", "_prisma_migrations")
    return {
        table: hashlib.sha256(postgres.sql(question.replace("{}", table), database).encode()).hexdigest()
        for table in tables
    }


def test_a_backup_comes_back_after_the_volume_was_destroyed(server: Server, site: Site) -> None:
    postgres = Postgres(server.name)
    write_rows(postgres, 1, LOGS)
    before, rows = content(postgres), postgres.rows(LIVE)
    assert rows["LiteLLM_SpendLogs"] == LOGS

    made = make(site, postgres, Secrets(omit=True), PlainProgress())
    assert made.archive.manifest.rows == rows
    assert len(made.archive.manifest.migrations) > 100
    assert 2**20 < made.archive.manifest.size < postgres.free()

    postgres.sql("DELETE FROM \"LiteLLM_SpendLogs\" WHERE request_id < 'r5'", LIVE)
    write_rows_of_another_team(postgres)
    assert content(postgres) != before, "twin: the comparison must see what was written after the backup"

    server.destroy()
    postgres = server.start()
    assert postgres.rows(LIVE) == {}, "twin: nothing may have outlived the volume"

    opened = archive.read(made.archive.file)
    with opened.part(DATABASE) as dump:
        postgres.load(dump, "restored")
    assert postgres.rows("restored") == rows
    postgres.exchange(LIVE, "restored", "aside")
    assert content(postgres) == before
    assert postgres.rows("aside") == {}
    postgres.drop("aside")


def write_rows_of_another_team(postgres: Postgres) -> None:
    postgres.sql("INSERT INTO \"LiteLLM_TeamTable\" (team_id) VALUES ('later')", LIVE)


def test_a_truncated_dump_is_refused(server: Server, tmp_path: Path) -> None:
    postgres = Postgres(server.name)
    whole = io.BytesIO()
    with (tmp_path / "dump").open("w+b") as stream:
        postgres.dump(LIVE, stream)
        stream.seek(0)
        whole.write(stream.read())
    short = tmp_path / "short"
    short.write_bytes(whole.getvalue()[: len(whole.getvalue()) * 2 // 3])
    with short.open("rb") as stream, pytest.raises(TollgateError, match="pg_restore"):
        postgres.rows_in(stream)
    with short.open("rb") as stream, pytest.raises(TollgateError, match="pg_restore"):
        postgres.load(stream, "halfway")
    assert postgres.rows("halfway") == {}, "loading is one transaction"
    assert postgres.called("half") == ["halfway"]
    postgres.drop("halfway")
    assert postgres.called("half") == []


def test_an_exchange_works_while_a_client_is_connected(server: Server) -> None:
    postgres = Postgres(server.name)
    postgres.sql("CREATE DATABASE fresh")
    held = ["docker", "exec", server.name, "psql", "-U", "litellm", "-d", LIVE, "-c", "SELECT pg_sleep(600)"]
    with subprocess.Popen(held, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        eventually(lambda: "pg_sleep(600)" in postgres.sql("SELECT query FROM pg_stat_activity"), within=30)
        postgres.exchange(LIVE, "fresh", "aside")
        assert client.communicate(timeout=30)[1].startswith("FATAL")
    assert postgres.rows(LIVE) == {}
    postgres.exchange(LIVE, "aside", "fresh")
    assert postgres.rows(LIVE)
    postgres.drop("fresh")


def test_an_exchange_that_fails_changes_nothing(server: Server) -> None:
    postgres = Postgres(server.name)
    rows = postgres.rows(LIVE)
    with pytest.raises(TollgateError, match="nowhere"):
        postgres.exchange(LIVE, "nowhere", "aside")
    assert postgres.rows(LIVE) == rows, "clients can connect to it, under its own name"
