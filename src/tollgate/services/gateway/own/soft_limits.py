"""How near tenants are to their soft limit, read from the ledger now and then, as a metric.

Every process reads the same ledger, so each shows the same figures. The alert TenantNearsBudget uses them: if only one
process read them (as tenants.py), its restart could end the alert and fire it again, to the owner. These are other
figures than those of tenants.py: bookings of a month, where that has the spend of all time and the limiter's counters.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from psycopg_pool import AsyncConnectionPool

from tollgate.ledger import queries, rows
from tollgate.ledger.soft_limits import SoftShare, shares, values
from tollgate.services.gateway.question import AWAY, read

log = logging.getLogger("tollgate.gateway.soft_limits")

# The question adds up the month of every tenant with a soft limit.
EVERY_S = 300.0
PATIENCE_S = 30.0
# Prometheus keeps a series for each tenant that is shown, so those far from their limit are not.
SHOWN_FROM = Decimal("0.8")
MOST = 1000
_QUESTION = queries.for_driver(queries.SOFT_LIMITS)


class SoftLimits(Collector):
    """`pool` must be open when `run` starts. While Postgres does not answer, the last figures stay."""

    def __init__(self, pool: AsyncConnectionPool) -> None:
        self._pool = pool
        self.near: tuple[SoftShare, ...] = ()

    async def run(self) -> None:
        """Reads every EVERY_S, until it is cancelled."""
        while True:
            try:
                await self.read(datetime.now(UTC))
            except AWAY as error:
                log.warning("the ledger does not say who nears a soft limit: %s", type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def read(self, now: datetime) -> None:
        async with asyncio.timeout(PATIENCE_S):
            text = await read(self._pool, _QUESTION, values(now), PATIENCE_S)
        # There may be thousands of tenants. A thread lets requests go on meanwhile.
        every = await asyncio.to_thread(lambda: shares(rows.loads(text)))
        self.near = tuple(share for share in every[:MOST] if share.share >= SHOWN_FROM)

    def collect(self) -> Iterator[Any]:
        text = "Spend of a tenant as a share of its soft limit, from 0.8 on"
        family = GaugeMetricFamily("tollgate_gateway_soft_limit_share", text, labels=("tenant", "owner"))
        for near in self.near:
            family.add_metric((near.tenant, near.owner), float(near.share))
        yield family
