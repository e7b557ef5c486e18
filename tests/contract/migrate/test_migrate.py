"""The migrate job with a real PostgreSQL: the 220 migrations that LiteLLM ships, and small ones of our own."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.contract.migrate.conftest import Job
from tests.support.eventually import eventually
from tollgate.migrate import releases, sql
from tollgate.migrate.applied import Migrated
from tollgate.migrate.database import LOCK_KEY
from tollgate.migrate.files import Migration, load, shipped_directory
from tollgate.migrate.indexes import LOG_INDEXES
from tollgate.stack.images.litellm import order

pytestmark = pytest.mark.docker

FIRST = 'CREATE TABLE "LiteLLM_A" (a int); CREATE TABLE "LiteLLM_B" (b int);'
SECOND = 'ALTER TABLE "LiteLLM_A" ADD COLUMN c int;'


def tables(job: Job) -> set[str]:
    return {row[0] for row in job.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


# ---- LiteLLM's own migrations


def test_an_empty_database_gets_every_shipped_migration_once(job: Job) -> None:
    shipped = load(shipped_directory())

    assert job.run("--check").returncode == 2
    first = job.run()
    again = job.run()
    check = job.run("--check")

    assert (first.returncode, first.stderr) == (0, "")
    assert f"done: {len(shipped)} applied, 0 already there, {len(LOG_INDEXES)} indexes built" in first.stdout
    assert f"done: 0 applied, {len(shipped)} already there, 0 indexes built" in again.stdout
    assert Migrated.read(first.stdout).applied == len(shipped)
    assert not Migrated.read(again.stdout).changed
    assert (check.returncode, check.stdout) == (0, f"migrate: 0 pending, {len(shipped)} applied\n")
    assert job.finished() == [migration.name for migration in shipped]
    assert {"LiteLLM_TeamTable", "LiteLLM_VerificationToken", "LiteLLM_SpendLogs"} <= tables(job)


def test_a_database_is_upgraded_and_still_serves_the_older_release(job: Job, tmp_path: Path) -> None:
    """With the older one's list cut short: the releases of one line may have the same migrations."""
    older, newest = sorted(releases.known(), key=order)[0], sorted(releases.known(), key=order)[-1]
    more = set(list(releases.migrations(newest))[-3:])
    shutil.copytree("src/tollgate", tmp_path / "tollgate")
    file = tmp_path / "tollgate" / "migrate" / "releases" / f"{older}.txt"
    file.write_text("\n".join(name for name in releases.migrations(newest) if name not in more))
    job.overrides["PYTHONPATH"] = str(tmp_path)

    first = job.run("--release", older)
    had = set(job.finished())
    job.overrides["LITELLM_VERSION"] = newest
    check, second = job.run("--check"), job.run()
    back = job.run("--check", "--release", older)

    assert (first.returncode, had) == (0, set(releases.migrations(newest)) - more)
    assert (check.returncode, check.stdout.split()[1]) == (2, str(len(more)))
    assert (second.returncode, set(job.finished()) - had) == (0, more)
    assert (back.returncode, back.stdout) == (0, f"migrate: 0 pending, {len(had)} applied\n")


def test_a_release_without_a_list_is_refused(job: Job) -> None:
    done = job.run("--release", "1.99.0")

    assert done.returncode == 1
    assert "this image has no list of the migrations of LiteLLM 1.99.0" in done.stderr


def test_the_ledger_has_the_same_columns_as_prismas(job: Job, write: Any) -> None:
    job.run(write(m1=FIRST))

    columns = job.query(
        """SELECT column_name, data_type, character_maximum_length, is_nullable, column_default
             FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY ordinal_position"""
    )
    row = job.query("SELECT checksum, applied_steps_count, logs, rolled_back_at FROM _prisma_migrations")

    assert columns == [
        ("id", "character varying", 36, "NO", None),
        ("checksum", "character varying", 64, "NO", None),
        ("finished_at", "timestamp with time zone", None, "YES", None),
        ("migration_name", "character varying", 255, "NO", None),
        ("logs", "text", None, "YES", None),
        ("rolled_back_at", "timestamp with time zone", None, "YES", None),
        ("started_at", "timestamp with time zone", None, "NO", "now()"),
        ("applied_steps_count", "integer", None, "NO", "0"),
    ]
    assert row == [(hashlib.sha256(FIRST.encode()).hexdigest(), 1, None, None)]


def test_after_a_kill_halfway_the_next_run_finishes_the_migrations(job: Job) -> None:
    with job.start() as process:
        assert process.stdout
        while "40 of" not in process.stdout.readline():
            assert process.poll() is None
        process.kill()
    # Postgres may be about to commit what it was sent last, and notices the death when it has.
    others = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    eventually(lambda: not job.query(others), within=60)
    done = len(job.finished())
    shipped = len(load(shipped_directory()))

    second = job.run()

    assert 40 <= done < shipped
    assert f"done: {shipped - done} applied, {done} already there" in second.stdout
    assert job.query("SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NULL") == [(0,)]


def test_migrations_without_a_transaction_are_repeatable_index_builds() -> None:
    """run.py relies on this; check a release that has another kind of statement."""
    unprotected = [each for each in load(shipped_directory()) if any(map(sql.outside_a_transaction, statements(each)))]

    assert len(unprotected) >= 5
    for migration in unprotected:
        assert all(sql.concurrent_index(statement) for statement in statements(migration)), migration.name


def statements(migration: Migration) -> list[str]:
    return sql.statements(migration.sql)


def test_no_shipped_migration_ends_its_own_transaction() -> None:
    for migration in load(shipped_directory()):
        for statement in statements(migration):
            assert not statement.upper().startswith(("COMMIT", "ROLLBACK", "BEGIN", "START TRANSACTION")), (
                migration.name
            )


def test_our_list_of_log_indexes_equals_the_packages() -> None:
    from litellm_proxy_extras.request_log_indexes import REQUEST_LOG_INDEXES

    theirs = [(index.name, index.table, index.columns) for index in REQUEST_LOG_INDEXES]

    assert [(index.name, index.table, index.columns) for index in LOG_INDEXES] == theirs


# ---- two jobs at once, and databases that the job must not change


# It runs until nobody holds this lock. It polls, because a migration that waits for a lock stops after a timeout.
HELD = """DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711)
    LOOP PERFORM pg_sleep(0.1); END LOOP; END $$;"""


def test_two_at_once_apply_each_migration_once(job: Job, write: Any, hold: psycopg.Connection[Any]) -> None:
    argument = write(m1=FIRST + HELD, m2=SECOND)
    hold.execute("SELECT pg_advisory_lock(4711)")
    # The waiting job reads who holds the lock, then tries to take the lock again.
    asked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND query LIKE %s"
    with job.start(argument) as one, job.start(argument) as other:
        eventually(lambda: job.query(asked, "SELECT a.pid, a.application_name%"), within=90, every=0.1)
        hold.execute("SELECT pg_advisory_unlock(4711)")
        outputs = [process.communicate(timeout=120)[0] for process in (one, other)]

    assert (one.returncode, other.returncode) == (0, 0)
    assert sorted("done: 2 applied" in output for output in outputs) == [False, True]
    waited = next(output for output in outputs if "done: 0 applied, 2 already there" in output)
    assert "another migration is running (tollgate-migrate/" in waited
    assert job.query("SELECT count(*) FROM _prisma_migrations") == [(2,)]


def test_the_wait_for_another_job_has_a_limit_and_names_that_job(
    job: Job, write: Any, hold: psycopg.Connection[Any]
) -> None:
    hold.execute("SET application_name = 'prisma on host-b'")
    hold.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))

    refused = job.run(write(m1=FIRST), "--lock-wait=1")

    assert refused.returncode == 1
    assert "error: another migration has held the lock for over 1 s: prisma on host-b from " in refused.stderr
    assert "LiteLLM_A" not in tables(job)


def test_a_table_in_use_stops_the_migration_and_not_all_traffic(
    job: Job, write: Any, hold: psycopg.Connection[Any]
) -> None:
    argument = write(m1=FIRST)
    job.run(argument)
    write(m2="SET LOCAL lock_timeout = '500ms';" + SECOND)
    with hold.transaction():
        hold.execute('SELECT * FROM "LiteLLM_A"')
        refused = job.run(argument)

    assert refused.returncode == 1
    assert "error: migration m2: another session uses its table; the migration was rolled back" in refused.stderr
    assert job.run(argument).returncode == 0


def test_a_newer_database_is_refused_and_nothing_is_written(job: Job, write: Any) -> None:
    argument = write(m1=FIRST)
    job.run(argument)
    job.query(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at)"
        " VALUES ('n', 'x', 'm9_newer', now())"
    )
    write(m2=SECOND)

    for arguments in ([argument], [argument, "--check"]):
        refused = job.run(*arguments)
        assert refused.returncode == 1
        assert "error: the database is newer than this release: it has 1 migration(s)" in refused.stderr
        assert "m9_newer" in refused.stderr
    assert job.finished() == ["m1", "m9_newer"]


def test_an_edited_migration_gives_a_warning_and_is_not_run_again(job: Job, write: Any) -> None:
    argument = write(m1=FIRST)
    job.run(argument)
    write(m1=FIRST + " -- edited", m2=SECOND)

    again = job.run(argument)

    assert "migrate: warning: 1 migration(s) differ from what was applied here: m1\n" in again.stdout
    assert job.finished() == ["m1", "m2"]


def test_tables_without_a_ledger_are_refused(job: Job, write: Any) -> None:
    job.query(FIRST)

    refused = job.run(write(m1=FIRST))

    assert refused.returncode == 1
    assert refused.stderr.startswith("error: the database has LiteLLM's tables but no migration history")
    assert tables(job) == {"LiteLLM_A", "LiteLLM_B"}


# ---- the environment


def test_a_wrong_password_is_refused_immediately_and_not_shown(job: Job, write: Any) -> None:
    job.password_file.write_text("not-the-password")

    refused = job.run(write(m1=FIRST), "--wait-for-database=60")

    assert refused.returncode == 1
    assert "Postgres refused the password" in refused.stderr
    assert "not-the-password" not in refused.stderr


def test_a_missing_password_file_is_named(job: Job, write: Any) -> None:
    job.password_file.unlink()

    refused = job.run(write(m1=FIRST))

    assert f"error: {job.password_file}: expected the database password in this file" in refused.stderr


def test_the_job_waits_for_a_database_and_then_reports_it(job: Job, write: Any) -> None:
    job.overrides["POSTGRES_PORT"] = "1"

    refused = job.run(write(m1=FIRST), "--wait-for-database=1")

    assert refused.returncode == 1
    assert "Postgres did not answer within 1 s" in refused.stderr
