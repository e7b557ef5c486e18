"""Pure: from the shipped migrations and the ledger's rows to what is to be done, or why nothing may be."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tollgate.litellm.migrate.files import Migration
from tollgate.litellm.migrate.refused import Refused

NAMED = 5  # how many migrations one message names; a newer release can bring dozens


@dataclass(frozen=True)
class LedgerRow:
    """One row of Prisma's `_prisma_migrations`. Started but neither finished nor rolled back: cut off halfway."""

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
    """What is to be applied, in order; the cut-off rows it replaces, by migration name; and what to warn about."""

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
    """Compare. Raises `Refused` for a database newer than `shipped`, or with LiteLLM's tables and no history.

    `wanted` are the names that the release to be run needs; others that were applied already are a later release's,
    which was rolled back, and stay. Without it all that is shipped is wanted.

    A migration that was edited after it was applied is only reported: LiteLLM itself has rewritten released files
    (moving index builds out of them), so refusing would block an ordinary upgrade. Prisma does not refuse either.

    A cut-off row of Prisma's (ours cannot exist for a migration that ran in a transaction) is replaced by a new
    attempt: PostgreSQL has either rolled that script back as a whole, or kept it as a whole. In the second case the
    new attempt fails on the first object that is already there, rolls back, and run.py says what to do.
    """
    known = {migration.name: migration for migration in shipped}
    _refuse_a_release_of_later(known, wanted or ())
    _refuse_a_newer_database(known, ledger)
    if has_tables and not ledger:
        raise Refused(
            "the database has LiteLLM's tables but no migration history (_prisma_migrations is missing or empty)",
            "it was probably made by `prisma db push`. Give Tollgate an empty database; or take a backup, bring the "
            "tables to one LiteLLM release and record its migrations with `prisma migrate resolve --applied NAME`",
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


def some(names: Sequence[str]) -> str:
    """Join names for a message, the first few of them."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _refuse_a_newer_database(known: dict[str, Migration], ledger: Sequence[LedgerRow]) -> None:
    unknown = sorted({row.name for row in ledger if not row.rolled_back} - set(known))
    if unknown:
        raise Refused(
            f"the database is newer than this release: it has {len(unknown)} migration(s) that are not shipped here: "
            + some(unknown),
            "run the newer release again, or restore the backup that was taken before the upgrade",
        )


def _refuse_a_release_of_later(known: dict[str, Migration], wanted: Collection[str]) -> None:
    lacking = sorted(set(wanted) - set(known))
    if lacking:
        raise Refused(
            f"the release to run needs {len(lacking)} migration(s) that are not shipped here: {some(lacking)}",
            "litellm-proxy-extras in images/tollgate/requirements.in must be that of the newest release; `make lock`",
        )
