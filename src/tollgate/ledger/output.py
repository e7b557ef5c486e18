"""Usage and months for programs: JSON, and CSV that a spreadsheet opens without running formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from tollgate.ledger.month import Month
from tollgate.ledger.rows import LedgerTeam
from tollgate.ledger.sums import Entry, Totals
from tollgate.ledger.usage import KeyTotals, Line, Spent, Usage, past_soft_limit

COLUMNS = ("spend_usd", "requests", "failed", "tokens_in", "tokens_out", "cache_read", "cache_written")
# The characters that start a formula in a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def usage_json(usage: Usage) -> dict[str, Any]:
    return {
        **_team(usage.team),
        "at": usage.now.isoformat(timespec="seconds"),
        "windows": [_spent(spent) for spent in usage.windows],
        "model_limits": [{"model": spent.model, **_spent(spent)} for spent in usage.caps],
        "rate_limits": dict(usage.team.limits.rates),
        "soft_limit_usd": _number(usage.team.limits.soft),
        "soft_limit_reached": past_soft_limit(usage.team, usage.windows),
        "models": _models(usage.models),
        "keys": _keys(usage.keys),
    }


def overview_json(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [
        {
            **_team(line.team),
            "windows": [_spent(spent) for spent in line.windows],
            "soft_limit_reached": past_soft_limit(line.team, line.windows),
        }
        for line in lines
    ]


def month_json(month: Month) -> dict[str, Any]:
    return {
        **_team(month.team),
        "at": month.now.isoformat(timespec="seconds"),
        "month": f"{month.window.since:%Y-%m}",
        "complete": not month.running,
        "total": _totals(month.total),
        "month_before": _totals(month.before),
        "daily_limit_usd": _number(month.daily_limit),
        "monthly_limit_usd": _number(month.monthly_limit),
        "projected_usd": None if month.projected is None else round(float(month.projected), 2),
        "limit_reached_on": None if month.runs_out is None else month.runs_out.isoformat(),
        "days": [{"day": day.isoformat(), **_totals(totals)} for day, totals in month.days.items()],
        "models": _models(month.models),
        "keys": _keys(month.keys),
        "failures": [asdict(failure) for failure in month.failures],
    }


def entries_csv(team: LedgerTeam, entries: Iterable[Entry], key_names: Mapping[str, str]) -> str:
    """One line for each day, key and model, for pivot tables."""
    rows = ((entry.day.isoformat(), key_names[entry.key], entry.model, entry.totals) for entry in entries)
    table = sorted(rows, key=lambda row: row[:3])
    return _csv(
        ("tenant", "day", "key", "model", *COLUMNS),
        ((team.id, day, key, model, *_cells(totals)) for day, key, model, totals in table),
    )


def overview_csv(lines: Iterable[Line]) -> str:
    head = ("tenant", "name", "state", "window", "since", "until", "limit_usd", *COLUMNS)
    return _csv(
        head,
        (
            (
                line.team.id,
                line.team.name,
                line.team.state,
                spent.window.name,
                spent.window.since.isoformat(),
                spent.window.until.isoformat(),
                "" if spent.limit is None else f"{spent.limit:f}",
                *_cells(spent.totals),
            )
            for line in lines
            for spent in line.windows
        ),
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in row] for row in rows)
    return stream.getvalue()


def _cells(totals: Totals) -> tuple[str, ...]:
    tokens = (totals.tokens_in, totals.tokens_out, totals.cache_read, totals.cache_written)
    return (f"{totals.spend:f}", *(str(number) for number in (totals.requests, totals.failed, *tokens)))


def _team(team: LedgerTeam) -> dict[str, Any]:
    return {"tenant": team.id, "name": team.name, "owner": team.owner, "state": team.state}


def _spent(spent: Spent) -> dict[str, Any]:
    return {
        "window": spent.window.name,
        "since": spent.window.begins.isoformat(),
        "resets": spent.window.reopens.isoformat(),
        "limit_usd": _number(spent.limit),
        "share": None if spent.share is None else round(float(spent.share), 4),
        **_totals(spent.totals),
    }


def _totals(totals: Totals) -> dict[str, Any]:
    fields = asdict(totals)
    return {"spend_usd": _number(fields.pop("spend")), **fields}


def _models(models: Mapping[str, Totals]) -> list[dict[str, Any]]:
    return [{"model": model, **_totals(totals)} for model, totals in models.items()]


def _keys(keys: Iterable[KeyTotals]) -> list[dict[str, Any]]:
    return [
        {"key": key.name, "state": key.state, "owner": key.owner, "keys": key.keys, **_totals(key.totals)}
        for key in keys
    ]


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else float(amount)
