"""psql's JSON into values. What people named is cleaned of control characters here, before any screen or page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from tollgate.ledger.sums import Entry, Totals
from tollgate.ledger.windows import Window

Json = Mapping[str, Any]
DAY, WEEK, MONTH = "1d", "7d", "1mo"


@dataclass(frozen=True)
class Limits:
    """What a tenant is held to as LiteLLM has it; None or a missing name is no limit. `budgets` by duration, in USD."""

    budgets: Mapping[str, Decimal] = field(default_factory=dict)
    soft: Decimal | None = None
    per_model: Mapping[str, Mapping[str, Decimal]] = field(default_factory=dict)
    rates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Counter:
    """What the gateway itself counts against one budget, since when."""

    since: datetime | None
    reopens: datetime | None
    spend: Decimal


@dataclass(frozen=True)
class Team:
    """A tenant as LiteLLM has it, or had it: `state` is active, suspended or deleted."""

    id: str
    name: str
    state: str
    owner: str = ""
    limits: Limits = Limits()
    counters: Mapping[str, Counter] = field(default_factory=dict)

    def counted(self, duration: str, window: Window) -> Decimal | None:
        """What the gateway counts in `window`; None where it has nothing of that window yet."""
        counter = self.counters.get(duration)
        if counter is None:
            return None
        ours = (
            counter.reopens == window.reopens
            if counter.reopens
            else counter.since is not None and window.begins <= counter.since < window.reopens
        )
        return counter.spend if ours else None


@dataclass(frozen=True)
class Key:
    """A virtual key, by its hash; `name` is what the tenant's file calls it."""

    hash: str
    name: str
    state: str
    owner: str = ""
    made: str = ""


@dataclass(frozen=True)
class Size:
    """Room the ledger takes: the whole database, and how many single requests its log has, since when."""

    bytes: int
    log_rows: int
    oldest: date | None


def loads(text: str) -> Json:
    """Money stays exact: every number with a point is a Decimal."""
    answer: Json = json.loads(text, parse_float=Decimal)
    return answer


def clean(text: object) -> str:
    """A name as it may be shown: one line, nothing a terminal obeys."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text or ""))


def totals(row: Json) -> Totals:
    return Totals(
        _usd(row["spend"]),
        *(int(row[name]) for name in ("requests", "failed", "tokens_in", "tokens_out", "cache_read", "cache_written")),
    )


def entries(rows: Iterable[Json]) -> tuple[Entry, ...]:
    return tuple(Entry(date.fromisoformat(row["day"]), row["key"], clean(row["model"]), totals(row)) for row in rows)


def keys(rows: Iterable[Json]) -> dict[str, Key]:
    return {
        row["token"]: Key(row["token"], _key_name(row), row["state"], clean(row["owner"]), str(row["made"] or ""))
        for row in rows
    }


def teams(rows: Iterable[Json], counted: Iterable[Json]) -> dict[str, Team]:
    counters: dict[str, dict[str, Counter]] = {}
    for row in counted:
        counter = Counter(_moment(row["since"]), None, _usd(row["spend"]))
        counters.setdefault(row["team"], {})[row["duration"]] = counter
    return {row["id"]: _team(row, counters.get(row["id"], {})) for row in rows}


def size(row: Json) -> Size:
    oldest = _moment(row["oldest"])
    return Size(int(row["bytes"]), int(row["log_rows"]), None if oldest is None else oldest.date())


def _team(row: Json, windows: Mapping[str, Counter]) -> Team:
    metadata = _object(row["metadata"])
    counters = dict(windows)
    if row["budget_duration"] and row["budget_reset_at"]:
        counters[row["budget_duration"]] = Counter(None, _moment(row["budget_reset_at"]), _usd(row["spend"]))
    name, owner = clean(row["name"] or row["id"]), clean(metadata.get("owner"))
    return Team(row["id"], name, row["state"], owner, _limits(row, _object(metadata.get("limits"))), counters)


def _limits(row: Json, more: Json) -> Limits:
    """`more` is what our own hook holds, because LiteLLM has no field for it; an archived team has no limits at all."""
    if row["state"] == "deleted":
        return Limits()
    budgets = {one["budget_duration"]: _usd(one["max_budget"]) for one in row["budget_limits"] or ()}
    if row["max_budget"] is not None and row["budget_duration"]:
        budgets[row["budget_duration"]] = _usd(row["max_budget"])
    rates = {
        "requests_per_minute": row["rpm_limit"],
        "requests_per_hour": more.get("requests_per_hour"),
        "requests_per_day": more.get("requests_per_day"),
        "tokens_per_minute": row["tpm_limit"],
        "max_parallel_requests": more.get("max_parallel_requests", row["max_parallel_requests"]),
    }
    soft = more.get("soft_limit")
    return Limits(
        budgets,
        None if soft is None else _usd(soft),
        {
            clean(model): {duration: _usd(limit) for duration, limit in _object(caps).items()}
            for model, caps in _object(more.get("per_model")).items()
        },
        {name: int(value) for name, value in rates.items() if value is not None},
    )


def _key_name(row: Json) -> str:
    """Ours carry it; of a key somebody made by hand the alias, or as much of its hash as tells it apart."""
    parts = str(row["alias"] or "").split("/")
    return clean(row["name"] or (parts[1] if len(parts) == 3 else row["alias"])) or f"unnamed {row['token'][:8]}"


def _object(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def _usd(value: Any) -> Decimal:
    return Decimal(str(value))


def _moment(text: str | None) -> datetime | None:
    """Prisma's timestamps have no zone and are UTC."""
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC)
