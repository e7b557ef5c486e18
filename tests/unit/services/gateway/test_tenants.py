"""The figures of tenants for Prometheus, from a real PostgreSQL and the limiter's counters."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry
from psycopg_pool import AsyncConnectionPool

from tests.support.metrics import inventory
from tests.unit.services.gateway.database import Database
from tests.unit.services.gateway.process import run
from tollgate.services.gateway import tenants as module
from tollgate.services.gateway.tenants import Tenants
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.local_counters import LocalCounters
from tollgate.services.limits.outcome import Admitted
from tollgate.services.limits.rule import NANO
from tollgate.services.limits.rules import rules_of

LIMITS = {"daily_limit": 10, "requests_per_minute": 4, "per_model": {"opus": {"1d": 2}}}
SPEND = "tollgate_tenant_spend_usd_total"


def team(database: Database, name: str, spend: float, managed_by: str = "tollgate") -> None:
    metadata = json.dumps({"managed_by": managed_by, "limits": LIMITS})
    insert = 'INSERT INTO "LiteLLM_TeamTable" (team_id, metadata, spend) VALUES (%s, %s, %s)'
    database.sql(insert, name, metadata, spend)


async def _ledger(questions: Any) -> list[int | None]:
    return [0 for _ in questions]


def figures(database: Database, *, asks: str = "", away: bool = False) -> dict[tuple[str, ...], float]:
    """(metric, values of its labels) -> value, after one request of the tenant `asks` that cost five dollars."""

    async def go() -> CollectorRegistry:
        limiter = Limiter(LocalCounters(), _ledger)
        async with AsyncConnectionPool(database.server.address, open=False) as pool:
            if asks:
                query = 'SELECT * FROM "LiteLLM_TeamTable" WHERE team_id = %s'
                async with await psycopg.AsyncConnection.connect(
                    database.server.address, row_factory=psycopg.rows.dict_row
                ) as connection:
                    row = await (await connection.execute(query, (asks,))).fetchone()
                admitted = await limiter.admit(rules_of(row, None), "a" * 32, "sonnet", 1, NANO, datetime.now(UTC))
                assert isinstance(admitted, Admitted)
                await limiter.settle(admitted, 7, 5 * NANO, True)
            limiter.figures.redis_away = int(away)
            tenants = Tenants(pool, limiter)
            await tenants.read()
            registry = CollectorRegistry()
            registry.register(tenants)
        await limiter.close()
        return registry

    families = run_for(go)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def run_for(go: Any) -> list[Any]:
    found: list[Any] = []

    async def keep() -> None:
        found.extend((await go()).collect())

    run(keep)
    return found


def test_spend_is_the_ledgers_for_every_tenant_of_ours(database: Database) -> None:
    team(database, "beta", 1.5)
    team(database, "by-hand", 99, managed_by="somebody")
    seen = figures(database)
    # A tenant that has spent nothing has its series too, so its first request is not lost.
    assert {key[1]: value for key, value in seen.items() if key[0] == SPEND} == {"acme": 0, "beta": 1.5}


def test_the_used_part_of_each_limit_is_the_limiters(database: Database) -> None:
    team(database, "beta", 1.5)
    seen = figures(database, asks="beta")
    used = "tollgate_tenant_limit_used_ratio"
    assert seen[used, "beta", "money", "day"] == 0.5
    assert seen[used, "beta", "requests", "minute"] == 0.25
    assert seen["tollgate_tenant_budget_usd", "beta", "day"] == 10
    # Limits of single models are left out.
    assert len([key for key in seen if key[0] == used]) == 2


def test_a_budget_that_nobody_asked_for_has_no_used_part(database: Database) -> None:
    team(database, "beta", 1.5)
    assert ("tollgate_tenant_limit_used_ratio", "beta", "money", "day") not in figures(database)


def test_while_redis_is_away_nobody_knows_the_used_part(database: Database) -> None:
    """This process would show what it counted alone."""
    team(database, "beta", 1.5)
    seen = figures(database, asks="beta", away=True)
    assert not [key for key in seen if key[0] == "tollgate_tenant_limit_used_ratio"]
    assert seen[SPEND, "beta"] == 1.5


def test_without_the_ledger_there_is_a_gap_and_no_old_value(database: Database) -> None:
    database.sql('DROP TABLE "LiteLLM_TeamTable"')
    assert figures(database) == {}


def test_the_number_of_series_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    for number in range(5):
        team(database, f"t{number}", 1)
    assert len([key for key in figures(database) if key[0] == SPEND]) == 2


def test_the_inventory_is_complete(database: Database) -> None:
    team(database, "beta", 1.5)
    shown = {key[0] for key in figures(database, asks="beta")}
    assert shown == {name for name in inventory() if name.startswith("tollgate_tenant_")}
