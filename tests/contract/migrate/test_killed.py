"""The migrate job is killed or fails with a real PostgreSQL, and leaves unusable indexes behind."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.contract.migrate.conftest import Job
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

FIRST = 'CREATE TABLE "LiteLLM_A" (a int); CREATE TABLE "LiteLLM_B" (b int);'
SECOND = 'ALTER TABLE "LiteLLM_A" ADD COLUMN c int;'


# ---- killed or failed


def test_a_migration_whose_job_was_killed_leaves_no_trace(job: Job, write: Any) -> None:
    write(m1=FIRST)
    argument = write(m2=SECOND + "SELECT pg_sleep(600);")
    with job.start(argument) as process:
        eventually(
            lambda: job.query(
                "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
            ),
            within=90,
        )
        process.kill()
    write(m2=SECOND)

    second = job.run(argument)  # waits until the server has noticed the death, then applies

    assert second.returncode == 0, second.stderr
    assert "done: 1 applied, 1 already there" in second.stdout
    assert job.query("SELECT count(*) FROM _prisma_migrations") == [(2,)]


def test_a_failed_migration_is_rolled_back_and_named(job: Job, write: Any) -> None:
    argument = write(m1=FIRST, m2=SECOND + "SELECT 1/0;")

    failed = job.run(argument)

    assert failed.returncode == 1
    assert failed.stderr.startswith("error: migration m2: division by zero [SQLSTATE 22012]\nhint:  ")
    assert job.finished() == ["m1"]
    assert job.query("SELECT 1 FROM information_schema.columns WHERE column_name = 'c'") == []
    write(m2=SECOND)
    assert job.run(argument).returncode == 0


def test_a_migration_that_prisma_did_not_finish_is_tried_again(job: Job, write: Any) -> None:
    argument = write(m1=FIRST)
    job.run(argument)
    write(m2=SECOND)
    job.query("INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('half', 'x', 'm2')")

    again = job.run(argument)

    assert "an earlier run of m2 was interrupted; trying it again" in again.stdout
    assert job.finished() == ["m1", "m2"]
    assert job.query("SELECT rolled_back_at IS NOT NULL FROM _prisma_migrations WHERE id = 'half'") == [(True,)]


def test_a_migration_that_prisma_applied_but_did_not_record_has_a_hint(job: Job, write: Any) -> None:
    argument = write(m1=FIRST)
    job.run(argument)
    write(m2=SECOND)
    job.query(SECOND)
    job.query("INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('half', 'x', 'm2')")

    again = job.run(argument)

    assert again.returncode == 1
    assert 'error: migration m2: column "c" of relation "LiteLLM_A" already exists' in again.stderr
    assert "set finished_at = now()" in again.stderr and "half" in again.stderr
    assert job.query("SELECT rolled_back_at FROM _prisma_migrations WHERE id = 'half'") == [(None,)]


# ---- index builds


# Without IF NOT EXISTS, which a release may leave out: the next run must accept the index that the first one built.
INDEX = 'CREATE INDEX CONCURRENTLY "LiteLLM_A_a_idx" ON "LiteLLM_A"("a");'


def test_a_concurrent_index_is_built_outside_a_transaction(job: Job, write: Any) -> None:
    done = job.run(write(m1=FIRST, m2=f"-- outside\n{INDEX}"))

    assert done.returncode == 0, done.stderr
    assert usable(job, "LiteLLM_A_a_idx") is True
    assert job.finished() == ["m1", "m2"]


def test_an_index_whose_build_was_killed_is_built_again(job: Job, write: Any, hold: psycopg.Connection[Any]) -> None:
    argument = write(m1=FIRST)
    job.run(argument)
    write(m2=INDEX)
    with hold.transaction():  # an open writer: the build waits for it, with the index there and not usable
        hold.execute('INSERT INTO "LiteLLM_A" VALUES (1)')
        with job.start(argument) as process:
            eventually(lambda: usable(job, "LiteLLM_A_a_idx") is False, within=90)
            process.kill()
        eventually(lambda: not job.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"), within=60)
    assert usable(job, "LiteLLM_A_a_idx") is False

    again = job.run(argument)

    assert again.returncode == 0, again.stderr
    assert usable(job, "LiteLLM_A_a_idx") is True
    assert job.finished() == ["m1", "m2"]


def test_an_unusable_index_of_a_finished_migration_is_rebuilt(job: Job, write: Any) -> None:
    argument = write(m1=FIRST, m2=INDEX)
    job.run(argument)
    job.query("UPDATE pg_index SET indisvalid = false WHERE indexrelid = '\"LiteLLM_A_a_idx\"'::regclass")

    check, again = job.run("--check", argument), job.run(argument)

    assert (check.returncode, check.stdout) == (2, "migrate: 1 pending: LiteLLM_A_a_idx\n")
    assert "rebuilding index LiteLLM_A_a_idx" in again.stdout
    assert usable(job, "LiteLLM_A_a_idx") is True


def usable(job: Job, index: str) -> bool | None:
    rows = job.query(
        "SELECT indisvalid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE relname = %s", index
    )
    return rows[0][0] if rows else None
