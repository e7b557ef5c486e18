"""How much of its soft limit each tenant has spent, for the metric of the gateway processes and its alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tollgate.ledger import rows
from tollgate.ledger.windows import day_of, month_of


@dataclass(frozen=True)
class SoftShare:
    """`share` is what the tenant has spent, divided by its soft limit: 1 means that it has reached the limit."""

    tenant: str
    owner: str
    share: Decimal


def values(now: datetime) -> dict[str, str]:
    """The values of queries.SOFT_LIMITS."""
    day, month = day_of(now), month_of(now.date())
    return {"today": f"{day.since}", "month": f"{month.since}", "until": f"{month.until}"}


def shares(answer: rows.Json) -> tuple[SoftShare, ...]:
    """From the answer to queries.SOFT_LIMITS, the highest share first. A tenant that spent nothing is not in it."""
    teams = rows.teams(answer["teams"])
    spent = {row["team"]: row for row in answer["spent"]}
    known = (_share(team, spent[team.id]) for team in teams.values() if team.id in spent)
    return tuple(sorted(filter(None, known), key=lambda share: (-share.share, share.tenant)))


def _share(team: rows.LedgerTeam, spent: Mapping[str, object]) -> SoftShare | None:
    soft = team.limits.soft
    if not soft or soft <= 0:
        return None
    held = Decimal(str(spent["today" if team.limits.soft_counts_the_day else "month"]))
    return SoftShare(rows.clean(team.id), team.owner, held / soft)
