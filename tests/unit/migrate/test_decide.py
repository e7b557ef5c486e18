"""The pure half of the migrate job: reading the files, splitting SQL, and deciding from the ledger."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tollgate.errors import TollgateError
from tollgate.migrate import sql
from tollgate.migrate.decide import LedgerRow, decide
from tollgate.migrate.files import Migration, load

JOB = Path("src/tollgate/migrate")


def migration(name: str, text: str = "SELECT 1;") -> Migration:
    return Migration(name, text, hashlib.sha256(text.encode()).hexdigest())


def row(name: str, *, finished: bool = True, rolled_back: bool = False, checksum: str = "") -> LedgerRow:
    return LedgerRow(f"id-{name}", name, checksum or migration(name).checksum, finished, rolled_back)


def names(migrations: Iterable[Migration]) -> list[str]:
    return [migration.name for migration in migrations]


SHIPPED = [migration("20250101_first"), migration("20250201_second"), migration("20250301_third")]


def test_files_are_read_in_name_order_with_the_sha256_of_their_bytes(tmp_path: Path) -> None:
    for name in ("20250201_second", "20250101_first"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "migration.sql").write_bytes(f"SELECT '{name}';\r\n".encode())
    (tmp_path / "migration_lock.toml").write_text('provider = "postgresql"\n')

    migrations = load(tmp_path)

    assert [migration.name for migration in migrations] == ["20250101_first", "20250201_second"]
    assert migrations[0].checksum == hashlib.sha256(b"SELECT '20250101_first';\r\n").hexdigest()


def test_a_directory_without_migrations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TollgateError, match=r"expected migrations below .*, found none"):
        load(tmp_path)


def test_an_empty_database_gets_everything_in_order() -> None:
    work = decide(list(reversed(SHIPPED)), [], has_tables=False)

    assert names(work.pending) == names(SHIPPED)


def test_only_unfinished_migrations_are_pending() -> None:
    ledger = [row("20250101_first"), row("20250201_second", finished=False, rolled_back=True)]

    work = decide(SHIPPED, ledger, has_tables=True)

    assert names(work.pending) == ["20250201_second", "20250301_third"]
    assert work.cut_off == {}


def test_a_cut_off_row_is_listed_with_its_pending_migration() -> None:
    half = row("20250201_second", finished=False)

    work = decide(SHIPPED, [row("20250101_first"), half], has_tables=True)

    assert work.cut_off == {"20250201_second": (half,)}


def test_a_cut_off_row_of_a_finished_migration_changes_nothing() -> None:
    ledger = [
        row("20250101_first"),
        row("20250201_second", finished=False),
        row("20250201_second"),
        row("20250301_third"),
    ]

    work = decide(SHIPPED, ledger, has_tables=True)

    assert (work.pending, work.cut_off) == ((), {})


@pytest.mark.parametrize("finished", [True, False])
def test_a_newer_database_is_refused_and_its_migrations_are_named(finished: bool) -> None:
    ledger = [row("20250101_first"), row("20260101_from_the_future", finished=finished)]

    with pytest.raises(TollgateError, match=r"newer than this release.*20260101_from_the_future"):
        decide(SHIPPED, ledger, has_tables=True)


def test_a_newer_migration_that_was_rolled_back_is_accepted() -> None:
    decide(SHIPPED, [row("20260101_from_the_future", finished=False, rolled_back=True)], has_tables=True)


def test_tables_without_history_are_refused_with_a_hint() -> None:
    with pytest.raises(TollgateError, match="no migration history") as refused:
        decide(SHIPPED, [], has_tables=True)

    assert "prisma migrate resolve --applied" in refused.value.hint


def test_an_edited_migration_is_reported_and_not_applied_again() -> None:
    ledger = [row("20250101_first", checksum="0" * 64), row("20250201_second"), row("20250301_third")]

    work = decide(SHIPPED, ledger, has_tables=True)

    assert (work.edited, work.pending) == (("20250101_first",), ())


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("-- a; b\nSELECT 1;", ["SELECT 1"]),
        ("/* a; /* nested; */ b; */ SELECT 1;", ["SELECT 1"]),
        ("SELECT 'a;''b'; SELECT \"c;d\"", ["SELECT 'a;''b'", 'SELECT "c;d"']),
        (r"SELECT E'a\';b'; SELECT 2", [r"SELECT E'a\';b'", "SELECT 2"]),
        ("DO $$ BEGIN a; END $$; SELECT 2", ["DO $$ BEGIN a; END $$", "SELECT 2"]),
        ("DO $x$ a $$; $x$; SELECT 2", ["DO $x$ a $$; $x$", "SELECT 2"]),
        (";;\n", []),
    ],
)
def test_splitting_a_script(script: str, expected: list[str]) -> None:
    assert sql.statements(script) == expected


@pytest.mark.parametrize(
    "statement",
    [
        'CREATE INDEX CONCURRENTLY IF NOT EXISTS "a" ON "t"("c")',
        "create unique index concurrently a on t(c)",
        'DROP INDEX CONCURRENTLY "a"',
        "REINDEX INDEX CONCURRENTLY a",
        "VACUUM (ANALYZE) t",
        "ALTER SYSTEM SET work_mem = '8MB'",
    ],
)
def test_these_statements_cannot_run_in_a_transaction(statement: str) -> None:
    assert sql.outside_a_transaction(statement)


@pytest.mark.parametrize(
    "statement",
    [
        'CREATE INDEX "CONCURRENTLY" ON "t"("c")',
        "ALTER TYPE a ADD VALUE 'b'",
        "COMMENT ON TABLE t IS 'CREATE INDEX CONCURRENTLY'",
        "DO $$ BEGIN PERFORM 1; END $$",
    ],
)
def test_these_statements_can_run_in_a_transaction(statement: str) -> None:
    assert not sql.outside_a_transaction(statement)


def test_the_name_of_an_index_that_is_built_concurrently() -> None:
    assert sql.concurrent_index('CREATE INDEX CONCURRENTLY IF NOT EXISTS "A_b" ON "t"("c")') == "A_b"
    assert sql.concurrent_index("CREATE UNIQUE INDEX CONCURRENTLY A_b ON t(c)") == "a_b"
    assert sql.concurrent_index("CREATE INDEX a ON t(c)") is None


def test_the_job_needs_only_the_standard_library_psycopg_and_this_package() -> None:
    allowed = sys.stdlib_module_names | {"psycopg"}
    for file in [*JOB.glob("*.py"), JOB.parent / "__init__.py", JOB.parent / "errors.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                ours = name == "tollgate.errors" or name.startswith("tollgate.migrate")
                assert ours or name.split(".")[0] in allowed, f"{file}: {name}"


# ---- the migrations of one release


def test_a_release_gets_its_own_migrations_and_no_later_ones() -> None:
    work = decide(SHIPPED, [], has_tables=False, wanted={"20250101_first", "20250301_third"})

    assert names(work.pending) == ["20250101_first", "20250301_third"]


def test_applied_migrations_of_a_later_release_are_accepted() -> None:
    ledger = [row(name) for name in names(SHIPPED)]

    assert decide(SHIPPED, ledger, has_tables=True, wanted={"20250101_first"}).pending == ()
    with pytest.raises(TollgateError, match="newer than this release"):
        decide(SHIPPED[:1], ledger, has_tables=True, wanted={"20250101_first"})


def test_a_release_with_migrations_that_are_not_shipped_is_refused() -> None:
    with pytest.raises(TollgateError, match="needs 1 migration"):
        decide(SHIPPED[:2], [], has_tables=False, wanted=set(names(SHIPPED)))
