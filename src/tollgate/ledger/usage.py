"""One tenant's use today, this week and this month, with its limits; and one line for each tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tollgate.ledger import rows
from tollgate.ledger.rows import DAY, MONTH, WEEK, LedgerKey, LedgerTeam
from tollgate.ledger.sums import NOTHING, Entry, Totals, by, total
from tollgate.ledger.windows import Window, day_of, month_of, week_of

# The team under which LiteLLM books the cost of its background checks.
HEALTH_CHECKS = "litellm-internal-health-check"


@dataclass(frozen=True)
class Spent:
    """One window: the use, and the limit if there is one."""

    window: Window
    totals: Totals
    limit: Decimal | None = None
    model: str = ""

    @property
    def share(self) -> Decimal | None:
        return None if self.limit is None or not self.limit else self.totals.spend / self.limit


@dataclass(frozen=True)
class KeyTotals:
    """A key by its name. A rotated key and its successor are one line."""

    name: str
    state: str
    owner: str
    keys: int
    totals: Totals


@dataclass(frozen=True)
class Usage:
    """One tenant at `now`. `models` and `keys` are of the current month and add up to its total."""

    team: LedgerTeam
    now: datetime
    windows: tuple[Spent, ...]
    caps: tuple[Spent, ...]
    models: Mapping[str, Totals]
    keys: tuple[KeyTotals, ...]
    entries: tuple[Entry, ...]
    key_names: Mapping[str, str]

    @property
    def month(self) -> Spent:
        return self.windows[-1]


def past_soft_limit(team: LedgerTeam, windows: tuple[Spent, ...]) -> bool | None:
    """Whether a tenant has reached its soft limit, or None without one."""
    soft = team.limits.soft
    if soft is None:
        return None
    held = windows[0] if team.limits.soft_counts_the_day else windows[-1]
    return held.totals.spend >= soft


def windows_of(now: datetime) -> tuple[tuple[str, Window], ...]:
    return ((DAY, day_of(now)), (WEEK, week_of(now)), (MONTH, month_of(now.date())))


def usage(answer: rows.Json, tenant: str, now: datetime, aliases: Mapping[str, str] | None = None) -> Usage | None:
    """From the answer to queries.TENANT; None if the ledger does not know the tenant.

    The ledger has the name that the client asked for. Requests under an alias count against the model's cap.
    """
    entries, keys = rows.entries(answer["entries"]), rows.keys(answer["keys"])
    team = team_in(answer, tenant, entries)
    if team is None:
        return None
    windows = windows_of(now)
    month = [entry for entry in entries if entry.day in windows[-1][1]]
    names = names_of(keys, entries)
    return Usage(
        team,
        now,
        tuple(_spent(team, entries, duration, window) for duration, window in windows),
        tuple(_caps(team, entries, windows, aliases or {})),
        by(month, lambda entry: entry.model),
        by_key(month, keys),
        tuple(month),
        names,
    )


def team_in(answer: rows.Json, tenant: str, entries: Iterable[Entry]) -> LedgerTeam | None:
    """The team. If even its archived row is gone: its name, from the entries that it left."""
    team = rows.teams(answer["teams"]).get(tenant)
    return team or (LedgerTeam(tenant, tenant, "deleted") if any(True for _ in entries) else None)


def names_of(keys: Mapping[str, LedgerKey], entries: Iterable[Entry]) -> dict[str, str]:
    """The name of each key in the entries, also of a key that is left only as a hash."""
    unknown = {entry.key: f"unnamed {entry.key[:8]}" if entry.key else "no key" for entry in entries}
    return {**unknown, **{token: key.name for token, key in keys.items()}}


def by_key(entries: Iterable[Entry], keys: Mapping[str, LedgerKey]) -> tuple[KeyTotals, ...]:
    """Every key that was used, and every living key. The state is that of the newest key of a name."""
    entries = list(entries)
    names = names_of(keys, entries)
    totals = by(entries, lambda entry: names[entry.key])
    used = {entry.key for entry in entries}
    by_name: dict[str, list[LedgerKey]] = {}
    for key in sorted(keys.values(), key=lambda key: (key.state == "deleted", key.state == "retiring", key.made)):
        if key.hash in used or key.state in ("active", "retiring", "suspended"):
            by_name.setdefault(key.name, []).append(key)
    idle = [name for name in by_name if name not in totals]
    return tuple(
        KeyTotals(
            name,
            by_name[name][0].state if name in by_name else "deleted",
            by_name[name][0].owner if name in by_name else "",
            len(by_name.get(name, [name])),
            totals.get(name, NOTHING),
        )
        for name in [*totals, *sorted(idle)]
    )


def _spent(team: LedgerTeam, entries: Iterable[Entry], duration: str, window: Window) -> Spent:
    within = total(entry for entry in entries if entry.day in window)
    return Spent(window, within, team.limits.budgets.get(duration))


def _caps(
    team: LedgerTeam, entries: tuple[Entry, ...], windows: Iterable[tuple[str, Window]], aliases: Mapping[str, str]
) -> Iterable[Spent]:
    for duration, window in windows:
        for model, caps in sorted(team.limits.per_model.items()):
            if duration in caps:
                of_it = (entry for entry in entries if aliases.get(entry.model, entry.model) == model)
                used = total(entry for entry in of_it if entry.day in window)
                yield Spent(window, used, caps[duration], model=model)


@dataclass(frozen=True)
class Line:
    """One tenant among all."""

    team: LedgerTeam
    windows: tuple[Spent, ...]

    @property
    def month(self) -> Spent:
        return self.windows[-1]


def _gone(team: str) -> LedgerTeam:
    """The team of an id without a team row: a deleted tenant, or LiteLLM's own health checks."""
    return (
        LedgerTeam(team, "LiteLLM's health checks", "internal")
        if team == HEALTH_CHECKS
        else LedgerTeam(team, team, "deleted")
    )


def overview(answer: rows.Json, now: datetime) -> tuple[Line, ...]:
    """From the answer to queries.EVERYBODY, highest spend first. A deleted tenant is listed while it has entries."""
    sums: dict[tuple[Any, str], Totals] = {(row["team"], row["window"]): rows.totals(row) for row in answer["sums"]}
    teams = rows.teams(answer["teams"])
    # Entries without a team are not a tenant's.
    teams |= {team: _gone(team) for team, _ in sums if team and team not in teams}
    lines = [
        Line(
            team,
            tuple(
                Spent(
                    window,
                    sums.get((team.id, window.name), NOTHING),
                    team.limits.budgets.get(duration),
                )
                for duration, window in windows_of(now)
            ),
        )
        for team in teams.values()
        if team.state != "deleted" or any(owner == team.id for owner, _ in sums)
    ]
    return tuple(sorted(lines, key=lambda line: (-line.month.totals.spend, line.team.id)))
