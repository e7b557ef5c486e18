"""All tenants at one moment, for the page /console: spend by tenant and by model, and the budgets that end soon."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tollgate.ledger import rows
from tollgate.ledger.rows import LedgerTeam
from tollgate.ledger.sums import Totals
from tollgate.ledger.usage import Line, Spent, overview, windows_of

# A budget of which this share is spent ends soon, whatever the pace.
NEARLY = Decimal("0.8")
# Below this share the pace is that of a few requests, and says nothing.
A_PACE = Decimal("0.25")


@dataclass(frozen=True)
class ModelSpend:
    """`today` in USD, `month` with everything that the ledger counts."""

    model: str
    today: Decimal
    month: Totals


@dataclass(frozen=True)
class DatabaseServer:
    version: str
    started: datetime
    bytes: int


@dataclass(frozen=True)
class Ending:
    """A budget that ends soon. `ends` is when, at the pace of the window so far; None: it has ended."""

    team: LedgerTeam
    spent: Spent
    ends: datetime | None


@dataclass(frozen=True)
class Everybody:
    now: datetime
    lines: tuple[Line, ...]
    models: tuple[ModelSpend, ...]
    server: DatabaseServer


def values(now: datetime) -> dict[str, str]:
    """The values of queries.EVERYBODY and queries.OVERVIEW."""
    day, week, month = (window for _, window in windows_of(now))
    days = {"today": day.since, "tomorrow": day.until, "week": week.since, "week_end": week.until}
    days |= {"month": month.since, "month_end": month.until}
    return {name: f"{value}" for name, value in days.items()}


def everybody(answer: rows.Json, now: datetime) -> Everybody:
    """From the answer to queries.OVERVIEW, the highest spend first."""
    models = [
        ModelSpend(rows.clean(row["model"]), Decimal(str(row["today"])), rows.totals(row)) for row in answer["models"]
    ]
    (server,) = answer["server"]
    return Everybody(
        now,
        overview(answer, now),
        tuple(sorted(models, key=lambda model: (-model.month.spend, -model.month.requests, model.model))),
        DatabaseServer(
            rows.clean(server["version"]), datetime.fromtimestamp(float(server["started"]), UTC), int(server["bytes"])
        ),
    )


def ending(lines: Iterable[Line], now: datetime) -> list[Ending]:
    """The budgets of tenants that end soon, the first to end at the top. Limits of keys and models are not in it."""
    budgets = [ending for line in lines for ending in _of(line, now)]
    return sorted(budgets, key=lambda budget: (budget.ends or now, -(budget.spent.share or 0), budget.team.id))


def _of(line: Line, now: datetime) -> Iterator[Ending]:
    for spent in line.windows:
        share = spent.share
        if share is None or spent.limit is None:
            continue
        ends = _ends(spent, now) if share < 1 else None
        before_it_reopens = ends is not None and ends < spent.window.reopens and share >= A_PACE
        if share >= NEARLY or before_it_reopens:
            yield Ending(line.team, spent, ends)


def _ends(spent: Spent, now: datetime) -> datetime | None:
    """When the limit is reached if the spend continues at the window's rate so far. None: not within a year."""
    elapsed = Decimal((now - spent.window.begins).total_seconds())
    if spent.limit is None or not spent.totals.spend or elapsed <= 0:
        return None
    left = float((spent.limit - spent.totals.spend) / (spent.totals.spend / elapsed))
    return now + timedelta(seconds=left) if left < timedelta(days=365).total_seconds() else None
