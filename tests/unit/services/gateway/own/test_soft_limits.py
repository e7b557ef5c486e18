"""The metric of tenants near their soft limit, from a real ledger: who is shown, with which owner and figure."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import AsyncConnectionPool

from tests.unit.services.gateway.own.books import Books
from tollgate.ledger.usage import past_soft_limit, usage
from tollgate.services.gateway.own.soft_limits import SoftLimits

NOW = datetime(2026, 11, 21, 13, 40, tzinfo=UTC)
MONTHLY = {"monthly_limit": 60, "soft_limit": 8}
DAILY = {"daily_limit": 60, "soft_limit": 8}


def shown(books: Books, now: datetime = NOW) -> dict[tuple[str, str], float]:
    """Tenant and owner to the figure, as Prometheus reads them."""

    async def go() -> str:
        async with AsyncConnectionPool(books.address, min_size=1, open=False) as pool:
            soft_limits = SoftLimits(pool)
            await soft_limits.read(now)
            registry = CollectorRegistry()
            registry.register(soft_limits)
            return generate_latest(registry).decode()

    [family] = text_string_to_metric_families(asyncio.run(go()))
    assert family.name == "tollgate_gateway_soft_limit_share"
    return {(sample.labels["tenant"], sample.labels["owner"]): sample.value for sample in family.samples}


def team(books: Books, name: str, limits: Mapping[str, Any], usd: float, *, days_ago: int = 0, **more: Any) -> None:
    books.team(name, limits, **more)
    books.spend((NOW - timedelta(days=days_ago)).date(), books.key("default", name), "sonnet", usd, name)


def test_tenants_near_their_soft_limit_are_shown_with_their_owner(books: Books) -> None:
    team(books, "over", MONTHLY, 10.0, days_ago=5, owner="over@example.org")
    team(books, "at", MONTHLY, 8.0, days_ago=5)
    team(books, "near", MONTHLY, 6.4)
    team(books, "far", MONTHLY, 6.3)
    team(books, "idle", MONTHLY, 0.0)
    team(books, "without", {"monthly_limit": 60}, 50.0)
    owner = "lead@example.org"
    assert shown(books) == {("over", "over@example.org"): 1.25, ("at", owner): 1.0, ("near", owner): 0.8}


def test_the_day_counts_for_a_tenant_with_a_daily_limit_only(books: Books) -> None:
    team(books, "yesterday", DAILY, 10.0, days_ago=1)
    team(books, "today", DAILY, 10.0)
    team(books, "month", MONTHLY, 10.0, days_ago=1)
    assert {tenant for tenant, _ in shown(books)} == {"today", "month"}


def test_a_new_month_begins_from_nothing(books: Books) -> None:
    team(books, "over", MONTHLY, 10.0)
    assert shown(books)
    assert shown(books, NOW + timedelta(days=15)) == {}


@pytest.mark.parametrize("usd", [7.999999999, 8.0])
def test_one_is_reached_exactly_when_tenant_usage_says_so(books: Books, usd: float) -> None:
    team(books, "acme", MONTHLY, usd)
    used = usage(books.tenant(NOW), "acme", NOW)
    assert used is not None
    [share] = shown(books).values()
    assert (share >= 1) is past_soft_limit(used.team, used.windows)


def test_a_team_that_the_kit_did_not_make_is_not_shown(books: Books) -> None:
    team(books, "by-hand", MONTHLY, 10.0, managed_by="somebody")
    assert shown(books) == {}


def test_the_last_figures_stay_while_the_ledger_is_away(books: Books, caplog: pytest.LogCaptureFixture) -> None:
    team(books, "over", MONTHLY, 10.0)

    async def go() -> None:
        async with AsyncConnectionPool(books.address, min_size=1, open=False) as pool:
            soft_limits = SoftLimits(pool)
            await soft_limits.read(NOW)
        task = asyncio.create_task(soft_limits.run())  # the pool is closed now
        async with asyncio.timeout(10):
            while "who nears a soft limit" not in caplog.text:
                await asyncio.sleep(0.05)
        task.cancel()
        assert [near.tenant for near in soft_limits.near] == ["over"]

    asyncio.run(go())
