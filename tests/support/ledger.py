"""A ledger as psql would answer: a team with names that mean harm, keys that were rotated and deleted, two months."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

TENANT = "engineering"
NOW = datetime(2026, 11, 21, 13, 40, tzinfo=UTC)
HARMFUL = '<script>alert(1)</script> & "Söhne" \x1b[31m'
MODELS = ("claude-sonnet-5-5", "claude-opus-5-5", "test-model")


def hash_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


KEYS = {
    "default": ("default", "active", "2026-09-01T08:00:00"),
    "alice": ("alice", "active", "2026-11-10T08:00:00"),
    "alice before": ("alice", "retiring", "2026-09-01T08:00:00"),
    "ci": ("=ci-pipeline", "suspended", "2026-09-01T08:00:00"),
    "gone": ("bob", "deleted", "2026-08-01T08:00:00"),
    "idle": ("carol", "active", "2026-11-01T08:00:00"),
}
FORGOTTEN = "a key of which nothing is left"


def team(limits: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A team as `tollgate apply` writes it. `limits` replaces some of its limits."""
    return {
        "id": TENANT,
        "name": f"Engineering {HARMFUL}",
        "state": "active",
        "max_budget": None,
        "budget_duration": "1mo",
        "budget_limits": [],
        "rpm_limit": None,
        "tpm_limit": None,
        "max_parallel_requests": None,
        "metadata": {
            "managed_by": "tollgate",
            "owner": "lead@example.com",
            "limits": {
                "daily_limit": 60.0,
                "weekly_limit": 400.0,
                "monthly_limit": 1200.0,
                "requests_per_minute": 120,
                "tokens_per_minute": 2_000_000,
                "requests_per_hour": 2000,
                "max_parallel_requests": 20,
                "soft_limit": 900,
                "per_model": {"claude-opus-5-5": {"1d": 30, "1mo": 500}},
                **(limits or {}),
            },
        },
        **more,
    }


def answer() -> dict[str, Any]:
    """To queries.TENANT, from the first of October on."""
    return {
        "teams": [team()],
        "keys": [
            {
                "token": hash_of(name),
                "alias": f"{TENANT}/{shown}/{hash_of(name)[:8]}",
                "name": shown,
                "owner": "alice@example.com" if shown == "alice" else None,
                "made": made,
                "state": state,
            }
            for name, (shown, state, made) in KEYS.items()
        ],
        "entries": list(entries()),
    }


def entries() -> list[dict[str, Any]]:
    """Workdays only, more towards mid-month; every figure follows from the day, so that nothing here is random."""
    rows = []
    day = date(2026, 10, 1)
    while day <= NOW.date():
        if day.weekday() < 5 or day == NOW.date():
            rows += [entry(day, name, model) for name, model in pairs(day)]
        day += timedelta(days=1)
    return rows


def pairs(day: date) -> list[tuple[str, str]]:
    alice = "alice" if day >= date(2026, 11, 10) else "alice before"
    found = [("default", MODELS[0]), (alice, MODELS[1]), ("ci", MODELS[0]), ("default", MODELS[2])]
    if day < date(2026, 11, 6):
        found += [("gone", MODELS[0]), (FORGOTTEN, MODELS[2])]
    return found


def entry(day: date, key: str, model: str) -> dict[str, Any]:
    work = (day.day * 7 + len(key) * 5 + len(model) * 3) % 19 + 4 + (10 if day.day in (12, 13, 17) else 0)
    price = {MODELS[0]: "0.071", MODELS[1]: "0.22", MODELS[2]: "0.0004"}[model]
    requests = work * 9
    return {
        "day": day.isoformat(),
        "key": hash_of(key),
        "model": model,
        "spend": Decimal(price) * requests,
        "requests": requests,
        "failed": work % 3 if model != MODELS[2] else 0,
        "tokens_in": requests * 18_400,
        "tokens_out": requests * 410,
        "cache_read": requests * 15_100,
        "cache_written": requests * 900,
    }


def failures() -> dict[str, Any]:
    return {
        "failures": [
            {"status": "429", "kind": "BudgetExceededError", "requests": 19},
            {"status": "529", "kind": "InternalServerError", "requests": 11},
            {"status": "", "kind": "<b>Odd</b>", "requests": 2},
        ]
    }


def everybody() -> dict[str, Any]:
    """To queries.EVERYBODY: one that spends, one that is over, one idle, one deleted with entries and one without."""

    def sums(tenant: str | None, *spent: str) -> list[dict[str, Any]]:
        numbers = {"requests": 10, "failed": 1, "tokens_in": 5000, "tokens_out": 700, "cache_read": 0}
        windows = zip(("today", "this week", "this month"), spent, strict=False)
        return [
            {"team": tenant, "window": window, "spend": Decimal(amount), "cache_written": 0, **numbers}
            for window, amount in windows
        ]

    gone = {"state": "deleted", "budget_duration": None, "budget_limits": None}
    return {
        "teams": [
            team(id="idle", name="Idle", limits={"monthly_limit": None}),
            team(),
            team(id="over", name="Over", state="suspended", limits={"monthly_limit": 10.0}),
            team(id="left", name="Left", **gone),
            team(id="long-gone", name="Long gone", **gone),
        ],
        "sums": [
            *sums(TENANT, "31.92", "211.5", "871.2"),
            *sums("over", "1.2", "10.2", "10.2"),
            *[row for row in sums("left", "0", "0", "3.5") if row["window"] == "this month"],
            *sums(None, "7", "7", "7"),
        ],
    }
