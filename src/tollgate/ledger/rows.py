"""Turns psql's JSON into values. It removes control characters from text that people wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tollgate.ledger.sums import Entry, Totals
from tollgate.limits import BUDGETS, DURATIONS, RATES, SOFT

Json = Mapping[str, Any]
DAY, WEEK, MONTH = "1d", "7d", "1mo"
# LiteLLM's own fields for limits on requests.
_COLUMNS = {
    "requests_per_minute": "rpm_limit",
    "tokens_per_minute": "tpm_limit",
    "max_parallel_requests": "max_parallel_requests",
}


@dataclass(frozen=True)
class LedgerLimits:
    """The limits of a tenant in LiteLLM. None or a missing name means no limit. `budgets` by duration, in USD."""

    budgets: Mapping[str, Decimal] = field(default_factory=dict)
    soft: Decimal | None = None
    per_model: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)

    @property
    def soft_counts_the_day(self) -> bool:
        """The soft limit counts the month, or the day if the tenant has only a daily limit."""
        return self.budgets.keys() == {DAY}


@dataclass(frozen=True)
class LedgerTeam:
    """A tenant in LiteLLM, also a deleted one. `state` is active, suspended or deleted."""

    id: str
    name: str
    state: str
    owner: str = ""
    limits: LedgerLimits = LedgerLimits()


@dataclass(frozen=True)
class LedgerKey:
    """A key by its hash. `name` is its name in the tenant's file."""

    hash: str
    name: str
    state: str
    owner: str = ""
    made: str = ""


@dataclass(frozen=True)
class Size:
    """The size of the ledger: the whole database, the number of single requests in its log, and since when."""

    bytes: int
    log_rows: int
    oldest: date | None


def loads(text: str) -> Json:
    """Parse JSON with exact money: every number with a point is a Decimal."""
    answer: Json = json.loads(text, parse_float=Decimal)
    return answer


def clean(text: object) -> str:
    """A name that is safe to show: one line, no control characters."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text or ""))


def totals(row: Json) -> Totals:
    return Totals(
        _usd(row["spend"]),
        *(int(row[name]) for name in ("requests", "failed", "tokens_in", "tokens_out", "cache_read", "cache_written")),
    )


def entries(rows: Iterable[Json]) -> tuple[Entry, ...]:
    return tuple(Entry(date.fromisoformat(row["day"]), row["key"], clean(row["model"]), totals(row)) for row in rows)


def keys(rows: Iterable[Json]) -> dict[str, LedgerKey]:
    return {
        row["token"]: LedgerKey(row["token"], _key_name(row), row["state"], clean(row["owner"]), str(row["made"] or ""))
        for row in rows
    }


def teams(rows: Iterable[Json]) -> dict[str, LedgerTeam]:
    return {row["id"]: _team(row) for row in rows}


def size(row: Json) -> Size:
    oldest = moment(row["oldest"])
    return Size(int(row["bytes"]), int(row["log_rows"]), None if oldest is None else oldest.date())


def _team(row: Json) -> LedgerTeam:
    metadata = _object(row["metadata"])
    name, owner = clean(row["name"] or row["id"]), clean(metadata.get("owner"))
    return LedgerTeam(row["id"], name, row["state"], owner, _limits(row, _object(metadata.get("limits"))))


def _limits(row: Json, ours: Json) -> LedgerLimits:
    """`ours` are the limits that `tollgate apply` wrote. LiteLLM's own fields hold for a team that was made by hand.

    An archived team has no limits.
    """
    if row["state"] == "deleted":
        return LedgerLimits()
    budgets = {budget["budget_duration"]: _usd(budget["max_budget"]) for budget in row["budget_limits"] or ()}
    if row["max_budget"] is not None and row["budget_duration"]:
        budgets[row["budget_duration"]] = _usd(row["max_budget"])
    stated = {DURATIONS[limit.window]: ours.get(limit.name) for limit in BUDGETS}
    budgets |= {duration: _usd(usd) for duration, usd in stated.items() if usd is not None}
    rates = {limit.name: ours.get(limit.name, row.get(_COLUMNS.get(limit.name, ""))) for limit in RATES}
    soft = ours.get(SOFT.name)
    return LedgerLimits(
        budgets,
        None if soft is None else _usd(soft),
        {
            clean(model): {duration: _usd(limit) for duration, limit in _object(caps).items()}
            for model, caps in _object(ours.get("per_model")).items()
        },
        {name: int(value) for name, value in rates.items() if value is not None},
    )


def name_in_alias(alias: object) -> str:
    """`name` of tenant/name/hash, the alias of a key that the kit made; otherwise the alias itself."""
    parts = str(alias or "").split("/")
    return clean(parts[1] if len(parts) == 3 else alias)


def _key_name(row: Json) -> str:
    """The key's name. For a key made by hand: its alias, or the start of its hash."""
    return clean(row["name"]) or name_in_alias(row["alias"]) or f"unnamed {row['token'][:8]}"


def _object(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _usd(value: Any) -> Decimal:
    return Decimal(str(value))


def moment(text: str | None) -> datetime | None:
    """Prisma's timestamps have no zone and are UTC."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
