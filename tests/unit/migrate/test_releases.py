"""Which statements only add, and the lists of each known release's migrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tollgate.migrate import releases
from tollgate.migrate.additive import changes
from tollgate.migrate.files import Migration, load, shipped_directory
from tollgate.site import Site
from tollgate.stack.images.litellm import known, shipped

ROOT = Site.here().root

ADDITIONS = [
    'ALTER TABLE "T" ADD COLUMN "a" TEXT;',
    'ALTER TABLE "T" ADD COLUMN IF NOT EXISTS "a" TEXT[] DEFAULT ARRAY[]::TEXT[], ADD COLUMN "b" DECIMAL(10,2);',
    'ALTER TABLE "T" ADD COLUMN "a" INTEGER NOT NULL DEFAULT 0;',
    'ALTER TABLE "T" ADD COLUMN "a" TEXT DEFAULT \'a, NOT NULL\';',
    'CREATE TABLE "N" ("id" TEXT NOT NULL); CREATE UNIQUE INDEX "N_id" ON "N"("id");',
    'CREATE TABLE "N" ("id" TEXT); ALTER TABLE "N" ADD CONSTRAINT "c" UNIQUE ("id");',
    'CREATE INDEX CONCURRENTLY IF NOT EXISTS "i" ON "T"("a");',
    "SET LOCAL lock_timeout = '10s'; -- a note\nSELECT 1;",
    "CREATE TYPE \"Kind\" AS ENUM ('a');",
]
CHANGES = [
    'ALTER TABLE "T" DROP COLUMN "a";',
    'ALTER TABLE "T" ADD COLUMN "a" TEXT, DROP COLUMN "b";',
    'ALTER TABLE "T" ADD COLUMN "a" TEXT NOT NULL;',
    'ALTER TABLE "T" ADD COLUMN "a" TEXT UNIQUE;',
    'ALTER TABLE "T" RENAME COLUMN "a" TO "b";',
    'ALTER TABLE "T" ALTER COLUMN "a" SET NOT NULL;',
    'ALTER TABLE "T" ADD CONSTRAINT "c" UNIQUE ("a");',
    "ALTER TYPE \"Kind\" ADD VALUE 'b';",
    'CREATE UNIQUE INDEX "i" ON "T"("a");',
    'DROP TABLE "T";',
    'DROP INDEX "i";',
    'UPDATE "T" SET "a" = 1;',
    "SELECT 1 / 0;",
    'DO $$ BEGIN ALTER TABLE "T" DROP COLUMN "a"; END $$;',
    "CREATE FUNCTION f() RETURNS TRIGGER AS $$ BEGIN RETURN NEW; END $$ LANGUAGE plpgsql;",
    'CREATE TABLE "N" ("id" TEXT); ALTER TABLE "T" DROP COLUMN "a";',
]


@pytest.mark.parametrize("script", ADDITIONS)
def test_these_statements_only_add(script: str) -> None:
    assert changes(script) == []


@pytest.mark.parametrize("script", CHANGES)
def test_these_statements_change_something_for_the_older_release(script: str) -> None:
    assert len(changes(script)) == 1


def test_a_list_has_each_migration_with_what_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrations = [Migration("1_adds", ADDITIONS[0], ""), Migration("2 changes", CHANGES[0], "")]
    (tmp_path / "9.9.9.txt").write_text(releases.text("9.9.9", "package==1", migrations))
    monkeypatch.setattr(releases, "HERE", tmp_path)
    assert releases.migrations("9.9.9") == {"1_adds": "", "2 changes": CHANGES[0].rstrip(";")}
    with pytest.raises(KeyError):
        releases.migrations("9.9.8")


def test_every_known_release_has_its_list() -> None:
    assert releases.known() == set(known(ROOT))


def test_the_job_ships_and_describes_all_migrations_of_known_releases() -> None:
    """The package pinned for the tests is the one in the job's image: both are the newest release's."""
    shipped_here = {migration.name: (changes(migration.sql) or [""])[0] for migration in load(shipped_directory())}
    assert releases.migrations(shipped(ROOT)) == shipped_here
    for version in releases.known():
        assert dict(releases.migrations(version)).items() <= shipped_here.items()
