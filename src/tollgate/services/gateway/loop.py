"""How late the event loop runs: everything of a gateway process shares one, so a slow step delays all requests."""

from __future__ import annotations

import asyncio

from tollgate.services.gateway.metrics import Metrics

EVERY_S = 0.5


async def watch_loop(metrics: Metrics, every: float = EVERY_S) -> None:
    """Measures until it is cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        metrics.lagged(max(0.0, loop.time() - due))
