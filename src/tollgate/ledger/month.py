"""One tenant's month for the person who pays: each day, the projection, and the spend by model and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate

from tollgate.ledger import rows
from tollgate.ledger.rows import DAY, MONTH, LedgerTeam
from tollgate.ledger.sums import Entry, Totals, by, total
from tollgate.ledger.usage import KeyTotals, by_key, names_of, team_in
from tollgate.ledger.windows import Window, month_before

TOP_DAYS = 5
# Earlier than this, a projection would stretch a single morning over four weeks.
ENOUGH_TO_PROJECT = timedelta(days=2)


@dataclass(frozen=True)
class Failure:
    status: str
    kind: str
    requests: int


@dataclass(frozen=True)
class Month:
    """All figures except `before` belong to `window`. `days` has each day up to `now`, also empty days."""

    team: LedgerTeam
    window: Window
    now: datetime
    days: Mapping[date, Totals]
    total: Totals
    before: Totals
    models: Mapping[str, Totals]
    keys: tuple[KeyTotals, ...]
    failures: tuple[Failure, ...]
    entries: tuple[Entry, ...]
    key_names: Mapping[str, str]

    @property
    def running(self) -> bool:
        return self.now < self.window.reopens

    @property
    def daily_limit(self) -> Decimal | None:
        return self.team.limits.budgets.get(DAY)

    @property
    def monthly_limit(self) -> Decimal | None:
        return self.team.limits.budgets.get(MONTH)

    @property
    def cumulative(self) -> tuple[Decimal, ...]:
        return tuple(accumulate(day.spend for day in self.days.values()))

    @property
    def top_days(self) -> tuple[tuple[date, Totals], ...]:
        spent = [(day, totals) for day, totals in self.days.items() if totals.spend]
        return tuple(sorted(spent, key=lambda pair: (-pair[1].spend, pair[0]))[:TOP_DAYS])

    @property
    def projected(self) -> Decimal | None:
        """The projected spend at the month's end. None if the month is over, or too early."""
        gone = self.now - self.window.begins
        if not self.running or gone < ENOUGH_TO_PROJECT or not self.total.spend:
            return None
        whole = self.window.reopens - self.window.begins
        return self.total.spend * Decimal(whole.total_seconds()) / Decimal(gone.total_seconds())

    @property
    def runs_out(self) -> date | None:
        """The day on which the projection reaches the monthly limit, if it is before the month's end."""
        if self.projected is None or self.monthly_limit is None or self.projected <= self.monthly_limit:
            return None
        pace = self.total.spend / Decimal((self.now - self.window.begins).total_seconds())
        left = max(self.monthly_limit - self.total.spend, Decimal(0))
        return (self.now + timedelta(seconds=float(left / pace))).date()


def month(answer: rows.Json, failures: rows.Json | None, tenant: str, window: Window, now: datetime) -> Month | None:
    """From the answers to queries.TENANT (from the month before on) and FAILURES; None for an unknown tenant."""
    entries, keys = rows.entries(answer["entries"]), rows.keys(answer["keys"])
    team = team_in(answer, tenant, entries)
    if team is None:
        return None
    within = tuple(entry for entry in entries if entry.day in window)
    days = by(within, lambda entry: entry.day)
    nothing = Totals()
    return Month(
        team,
        window,
        now,
        {day: days.get(day, nothing) for day in window.days() if day <= now.date()},
        total(within),
        total(entry for entry in entries if entry.day in month_before(window)),
        by(within, lambda entry: entry.model),
        by_key(within, keys),
        tuple(
            Failure(rows.clean(row["status"]), rows.clean(row["kind"]), int(row["requests"]))
            for row in (failures or {"failures": ()})["failures"]
        ),
        within,
        names_of(keys, within),
    )
