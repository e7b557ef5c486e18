"""What one tenant used today, this week and this month, against its limits; and one line for each of all tenants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tollgate.ledger import rows
from tollgate.ledger.rows import DAY, MONTH, WEEK, Key, Team
from tollgate.ledger.sums import NOTHING, Entry, Totals, by, total
from tollgate.ledger.windows import Window, day_of, month_of, week_of

# The gateway's own count runs a few seconds ahead or behind; what differs by more than this has another cause.
WORTH_A_NOTE = Decimal("0.01")
# The team under which LiteLLM books what its background checks of the models cost.
HEALTH_CHECKS = "litellm-internal-health-check"


@dataclass(frozen=True)
class Spent:
    """One window: what was used, its limit if it has one, and what the gateway counts against that limit."""

    window: Window
    totals: Totals
    limit: Decimal | None = None
    counted: Decimal | None = None
    model: str = ""

    @property
    def share(self) -> Decimal | None:
        return None if self.limit is None or not self.limit else self.totals.spend / self.limit

    @property
    def disagrees(self) -> bool:
        """Whether the gateway will refuse sooner or later than the ledger says."""
        return (
            self.limit is not None
            and self.counted is not None
            and abs(self.counted - self.totals.spend) > max(WORTH_A_NOTE, self.limit / 100)
        )


@dataclass(frozen=True)
class KeyTotals:
    """A key by the name people know it by: a rotated key and its successor are one line."""

    name: str
    state: str
    owner: str
    keys: int
    totals: Totals


@dataclass(frozen=True)
class Usage:
    """One tenant at `now`. `models` and `keys` are of the running month and add up to its total."""

    team: Team
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


def past_soft_limit(team: Team, windows: tuple[Spent, ...]) -> bool | None:
    """Whether a tenant has spent its soft limit; None where it has none. It is the month's, or the day's where the
    tenant has no other limit than the day's."""
    soft = team.limits.soft
    if soft is None:
        return None
    held = windows[0] if team.limits.budgets.keys() == {"1d"} else windows[-1]
    return held.totals.spend >= soft


def windows_of(now: datetime) -> tuple[tuple[str, Window], ...]:
    return ((DAY, day_of(now)), (WEEK, week_of(now)), (MONTH, month_of(now.date())))


def usage(answer: rows.Json, tenant: str, now: datetime, aliases: Mapping[str, str] | None = None) -> Usage | None:
    """From the answer to queries.TENANT; None where the ledger knows no such tenant.

    The ledger has the name that was asked for: what came in under an alias of a model counts against the model's cap.
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


def team_in(answer: rows.Json, tenant: str, entries: Iterable[Entry]) -> Team | None:
    """The team itself; or, where even its archived row is gone, its name and the entries it left."""
    found = rows.teams(answer["teams"], answer["counted"]).get(tenant)
    return found or (Team(tenant, tenant, "deleted") if any(True for _ in entries) else None)


def names_of(keys: Mapping[str, Key], entries: Iterable[Entry]) -> dict[str, str]:
    """What to call each key that the entries name, also one of which nothing but its hash is left."""
    unknown = {entry.key: f"unnamed {entry.key[:8]}" if entry.key else "no key" for entry in entries}
    return {**unknown, **{one: key.name for one, key in keys.items()}}


def by_key(entries: Iterable[Entry], keys: Mapping[str, Key]) -> tuple[KeyTotals, ...]:
    """Every key that was used, and every living one that was not; the state is that of the newest of a name."""
    entries = list(entries)
    names = names_of(keys, entries)
    totals = by(entries, lambda entry: names[entry.key])
    used = {entry.key for entry in entries}
    found: dict[str, list[Key]] = {}
    for key in sorted(keys.values(), key=lambda key: (key.state == "deleted", key.state == "retiring", key.made)):
        if key.hash in used or key.state in ("active", "retiring", "suspended"):
            found.setdefault(key.name, []).append(key)
    idle = [name for name in found if name not in totals]
    return tuple(
        KeyTotals(
            name,
            found[name][0].state if name in found else "deleted",
            found[name][0].owner if name in found else "",
            len(found.get(name, [name])),
            totals.get(name, NOTHING),
        )
        for name in [*totals, *sorted(idle)]
    )


def _spent(team: Team, entries: Iterable[Entry], duration: str, window: Window) -> Spent:
    within = total(entry for entry in entries if entry.day in window)
    return Spent(window, within, team.limits.budgets.get(duration), team.counted(duration, window))


def _caps(
    team: Team, entries: tuple[Entry, ...], windows: Iterable[tuple[str, Window]], aliases: Mapping[str, str]
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

    team: Team
    windows: tuple[Spent, ...]

    @property
    def month(self) -> Spent:
        return self.windows[-1]


def _gone(team: str) -> Team:
    """Whom the ledger knows and no team is called like: a deleted tenant, or LiteLLM's own checks of its models."""
    return Team(team, "LiteLLM's health checks", "internal") if team == HEALTH_CHECKS else Team(team, team, "deleted")


def overview(answer: rows.Json, now: datetime) -> tuple[Line, ...]:
    """From the answer to queries.EVERYBODY, who spent most first; a deleted tenant as long as it has entries here."""
    sums: dict[tuple[Any, str], Totals] = {(row["team"], row["window"]): rows.totals(row) for row in answer["sums"]}
    found = rows.teams(answer["teams"], answer["counted"])
    # Entries without a team are not a tenant's.
    found |= {team: _gone(team) for team, _ in sums if team and team not in found}
    lines = [
        Line(
            team,
            tuple(
                Spent(
                    window,
                    sums.get((team.id, window.name), NOTHING),
                    team.limits.budgets.get(duration),
                    team.counted(duration, window),
                )
                for duration, window in windows_of(now)
            ),
        )
        for team in found.values()
        if team.state != "deleted" or any(owner == team.id for owner, _ in sums)
    ]
    return tuple(sorted(lines, key=lambda line: (-line.month.totals.spend, line.team.id)))
