"""One tenant's figures for `GET /gateway/usage`: by day and model, and by key. The same sums as in `Usage`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from tollgate.ledger import rows
from tollgate.ledger.rows import LedgerKey
from tollgate.ledger.sums import NOTHING, ZERO, Entry, Totals, total
from tollgate.ledger.usage import KeyTotals, by_key, names_of
from tollgate.ledger.windows import Window, day_of, month_of, week_of

DAYS = 31
DAY, WEEK, MONTH = "day", "week", "month"


def windows_at(now: datetime) -> dict[str, Window]:
    """The running day, week and month."""
    return {DAY: day_of(now), WEEK: week_of(now), MONTH: month_of(now.date())}


def values(tenant: str, now: datetime) -> dict[str, str]:
    """The values of queries.SUMMARY. The last 31 days always contain the running week and month."""
    windows = windows_at(now)
    return {
        "tenant": tenant,
        "since": f"{now.date() - timedelta(days=DAYS - 1)}",
        "until": f"{windows[DAY].until}",
        "today": f"{windows[DAY].since}",
        "week": f"{windows[WEEK].since}",
        "month": f"{windows[MONTH].since}",
    }


@dataclass(frozen=True)
class Summary:
    """`entries` are by day and model. `by_hash` has what each key spent in each window, `names` each key's name."""

    now: datetime
    windows: Mapping[str, Window]
    entries: tuple[Entry, ...]
    by_hash: Mapping[str, Mapping[str, Decimal]]
    names: Mapping[str, str]
    keys: tuple[KeyTotals, ...]

    def spent(self, unit: str, models: frozenset[str] = frozenset()) -> Decimal:
        """By the tenant in the running window. `models` are the names of one model; none means every model."""
        window = self.windows[unit]
        chosen = (entry for entry in self.entries if entry.day in window and (not models or entry.model in models))
        return total(chosen).spend

    def spent_by_key(self, unit: str, name: str) -> Decimal:
        """By every key of this name, old and new."""
        return sum((spent[unit] for key, spent in self.by_hash.items() if self.names[key] == name), ZERO)

    def days(self) -> dict[date, dict[str, Totals]]:
        """The last 31 days, the oldest first, with the models that were used on each."""
        days: dict[date, dict[str, Totals]] = {
            self.now.date() - timedelta(days=back): {} for back in range(DAYS - 1, -1, -1)
        }
        for entry in self.entries:
            models = days.get(entry.day)
            if models is not None:
                models[entry.model] = models.get(entry.model, NOTHING) + entry.totals
        return days


def summary(answer: rows.Json, now: datetime) -> Summary:
    """From the answer to queries.SUMMARY."""
    keys = rows.keys(answer["keys"])
    by_hash = {row["key"]: _windows(row) for row in answer["spent"]}
    month = month_of(now.date())
    spent = [
        Entry(month.since, row["key"], "", Totals(by_hash[row["key"]][MONTH], int(row["requests"])))
        for row in answer["spent"]
    ]
    return Summary(
        now,
        windows_at(now),
        rows.entries({"key": "", **row} for row in answer["days"]),
        by_hash,
        names_of(keys, spent),
        _used_or_alive(spent, keys),
    )


def _windows(row: rows.Json) -> dict[str, Decimal]:
    return {unit: Decimal(str(row[column])) for unit, column in ((DAY, "today"), (WEEK, "week"), (MONTH, "month"))}


def _used_or_alive(spent: list[Entry], keys: Mapping[str, LedgerKey]) -> tuple[KeyTotals, ...]:
    """The keys of this month. A key that was used this week, but before the month began, is left out."""
    return by_key([entry for entry in spent if entry.totals != NOTHING], keys)
