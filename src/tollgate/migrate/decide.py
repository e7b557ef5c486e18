"""Pure: compares shipped migrations with the ledger's rows, and returns the pending work or raises an error."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tollgate.errors import TollgateError
from tollgate.migrate.files import Migration

NAMED = 5  # a message names at most this many migrations; a newer release can bring dozens


@dataclass(frozen=True)
class LedgerRow:
    """One row of Prisma's `_prisma_migrations`. `cut_off`: it started, and neither finished nor rolled back."""

    id: str
    name: str
    checksum: str
    finished: bool
    rolled_back: bool
    logs: str = ""

    @property
    def cut_off(self) -> bool:
        return not self.finished and not self.rolled_back


@dataclass(frozen=True)
class Work:
    """Pending migrations in order, the cut-off rows that they replace (by migration name), and edited migrations."""

    pending: tuple[Migration, ...]
    cut_off: dict[str, tuple[LedgerRow, ...]]
    edited: tuple[str, ...]


def decide(
    shipped: Sequence[Migration],
    ledger: Sequence[LedgerRow],
    *,
    has_tables: bool,
    wanted: Collection[str] | None = None,
) -> Work:
    """Find the pending migrations.

    Raises `TollgateError` if the database is newer than `shipped`, if it has LiteLLM's tables but no history, or if
    `shipped` lacks a wanted migration.

    `wanted` has the migrations that the release needs; None means all of `shipped`. Other applied migrations belong to
    a later release that was rolled back. They stay.

    A migration that was edited after it was applied gives only a warning. LiteLLM itself has edited released files (it
    moved index builds out of them), and an error would block an ordinary upgrade. Prisma also accepts this.

    A cut-off row gets a new attempt. (It is Prisma's: ours can exist only for a migration outside a transaction.)
    PostgreSQL has either rolled the whole script back or kept all of it. If it kept the script, the new attempt fails
    on the first object that exists and rolls back, and run.py says what to do.
    """
    known = {migration.name: migration for migration in shipped}
    _refuse_missing_migrations(known, wanted or ())
    _refuse_newer_database(known, ledger)
    if has_tables and not ledger:
        raise TollgateError(
            "the database has LiteLLM's tables but no migration history (_prisma_migrations is missing or empty)",
            "probably `prisma db push` made them. Give Tollgate an empty database. Or take a backup, bring the tables "
            "to one LiteLLM release and record its migrations with `prisma migrate resolve --applied NAME`",
        )
    finished = {row.name for row in ledger if row.finished and not row.rolled_back}
    pending = tuple(migration for migration in sorted(shipped) if _is_due(migration.name, finished, wanted))
    cut_off = {
        migration.name: tuple(row for row in ledger if row.name == migration.name and row.cut_off)
        for migration in pending
    }
    edited = sorted(
        row.name for row in ledger if row.finished and not row.rolled_back and row.checksum != known[row.name].checksum
    )
    return Work(pending, {name: rows for name, rows in cut_off.items() if rows}, tuple(edited))


def _is_due(name: str, finished: Collection[str], wanted: Collection[str] | None) -> bool:
    return name not in finished and (wanted is None or name in wanted)


def first_few(names: Sequence[str]) -> str:
    """Join the first names for a message."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _refuse_newer_database(known: dict[str, Migration], ledger: Sequence[LedgerRow]) -> None:
    unknown = sorted({row.name for row in ledger if not row.rolled_back} - set(known))
    if unknown:
        raise TollgateError(
            f"the database is newer than this release: it has {len(unknown)} migration(s) that are not shipped here: "
            + first_few(unknown),
            "run the newer release again, or restore the backup from before the upgrade",
        )


def _refuse_missing_migrations(known: dict[str, Migration], wanted: Collection[str]) -> None:
    lacking = sorted(set(wanted) - set(known))
    if lacking:
        raise TollgateError(
            f"the wanted release needs {len(lacking)} migration(s) that are not shipped here: {first_few(lacking)}",
            "put the newest release's litellm-proxy-extras into images/tollgate/requirements.in; then `make lock`",
        )
