"""Figures of tenants for Prometheus: their spend from the ledger, the used part of their limits from the limiter.

Prometheus cannot add this up itself: a counter that a process begins with a tenant's first request has lost that
request, and every process would show its own part. Both routes book in the ledger, and share the limiter's counters.
Only the first gateway process reads them, so each figure is one series.

A tenant's spend and budgets: four series at most. All its limits: eight more.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import AsyncConnectionPool

from tollgate.services.gateway.question import AWAY, read
from tollgate.services.limits.limiter import Limiter
from tollgate.services.limits.rule import MONEY, NANO, TENANT, Rule
from tollgate.services.limits.rules import rules_of

log = logging.getLogger("tollgate.gateway.tenants")

# The process that reads them.
READER = "gateway-1"
EVERY_S = 30.0
PATIENCE_S = 10.0
# The oldest tenants. Their order never changes, so none loses its series to another.
MOST = 10_000
# Tenants whose limits are read: those with the highest spend. Each costs one question to Redis.
MOST_LIMITS = 2_000

_TEAMS = """
SELECT coalesce(json_agg(team), '[]')::text FROM (
    SELECT team_id, created_at, metadata, coalesce(spend, 0) AS spend FROM "LiteLLM_TeamTable"
     WHERE metadata ->> 'managed_by' = 'tollgate' ORDER BY created_at, team_id LIMIT %s) AS team
"""


class Share(NamedTuple):
    """The used part of one limit: 0 to 1, or more. `window` is empty for requests that run at once."""

    tenant: str
    limit: str
    window: str
    used: float


@dataclass(frozen=True)
class _Read:
    spend: Mapping[str, float]
    rules: Sequence[Rule]
    shares: Sequence[Share]


_NOTHING = _Read({}, (), ())


class Tenants(Collector):
    """`pool` must be open before `watch` runs. After a failure there are no figures until the next reading."""

    def __init__(self, pool: AsyncConnectionPool, limiter: Limiter) -> None:
        self._pool, self._limiter = pool, limiter
        self._read = _NOTHING

    async def watch(self, every: float = EVERY_S) -> None:
        """Reads until it is cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(every)

    async def read(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                text = await read(self._pool, _TEAMS, (MOST,), PATIENCE_S)
            # There can be thousands. A thread lets requests go on meanwhile.
            spend, limits = await asyncio.to_thread(_parsed, text)
            self._read = _Read(spend, limits, await self._shares(limits))
        except AWAY as error:
            if self._read is not _NOTHING:
                log.warning("figures of tenants cannot be read: %s", type(error).__name__)
            self._read = _NOTHING

    def collect(self) -> Iterator[Any]:
        spend = CounterMetricFamily("tollgate_tenant_spend_usd", "US dollars in the ledger, ever", labels=["tenant"])
        for tenant, usd in self._read.spend.items():
            spend.add_metric([tenant], usd)
        budgets = GaugeMetricFamily("tollgate_tenant_budget_usd", "A budget in US dollars", labels=["tenant", "window"])
        for rule in self._read.rules:
            if rule.kind == MONEY:
                budgets.add_metric([rule.holder.tenant, rule.window], rule.amount / NANO)
        text = "Used part of a limit in the running window"
        used = GaugeMetricFamily("tollgate_tenant_limit_used_ratio", text, labels=["tenant", "limit", "window"])
        for share in self._read.shares:
            used.add_metric([share.tenant, share.limit, share.window], share.used)
        yield from (spend, budgets, used)

    async def _shares(self, limits: Sequence[Rule]) -> list[Share]:
        """A budget that nobody has asked for in this window has no counter yet, so no share."""
        by_tenant: dict[str, list[Rule]] = {}
        for rule in limits:
            by_tenant.setdefault(rule.tenant, []).append(rule)
        shares = []
        for rules in by_tenant.values():
            if self._limiter.figures.redis_away:
                return []
            used = await self._limiter.look(rules, datetime.now(UTC))
            shares += [
                Share(rule.holder.tenant, rule.kind, rule.window, count.used / rule.amount)
                for rule, count in zip(rules, used, strict=True)
                if count is not None
            ]
        return shares


def _parsed(text: str) -> tuple[dict[str, float], list[Rule]]:
    """The spend of every tenant, and the limits of those that spent most."""
    rows = json.loads(text)
    highest = sorted(rows, key=lambda row: -row["spend"])[:MOST_LIMITS]
    limits = [rule for row in highest for rule in rules_of(row, None) if _is_shown(rule)]
    return {str(row["team_id"]): float(row["spend"]) for row in rows}, limits


def _is_shown(rule: Rule) -> bool:
    """A tenant's own limits. Those of its keys and of single models would be many more series."""
    return rule.holder.kind == TENANT and not rule.model
