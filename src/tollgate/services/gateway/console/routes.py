"""The answers of the console. app.py has checked the key: only the master key comes here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg_pool import AsyncConnectionPool

from tollgate.services.gateway.console import prometheus
from tollgate.services.gateway.console.inner import Inner
from tollgate.services.gateway.console.prometheus import Prometheus
from tollgate.services.gateway.console.state import State
from tollgate.services.gateway.inside import Inside
from tollgate.services.gateway.own.recent import Recent
from tollgate.services.gateway.shared import Shared
from tollgate.services.limits.resp import Redis
from tollgate.services.requests.routes import CONSOLE_PANELS, CONSOLE_STATE

# For this long all open pages share one answer.
STATE_FRESH_S = 2.0
PANELS_FRESH_S = 10.0


@dataclass(frozen=True)
class Addresses:
    """Services of the internal network, as http://host:port. Empty: not known, and the page says so."""

    prometheus: str = ""
    nginx: str = ""


class Console:
    """`directory` has what is rendered. Close it before the pool and Redis."""

    def __init__(
        self,
        name: str,
        directory: Path,
        addresses: Addresses,
        inside: Inside,
        pool: AsyncConnectionPool,
        redis: Redis,
        recent: Recent,
    ) -> None:
        self._inner = Inner()
        panels = prometheus.read(directory / "gateway" / prometheus.FILE)
        asked = Prometheus(self._inner, addresses.prometheus, panels)
        state = State(name, directory, inside, pool, redis, recent, self._inner, addresses.nginx)
        self._answers = {
            CONSOLE_STATE: Shared(state.answer, STATE_FRESH_S),
            CONSOLE_PANELS: Shared(asked.answer, PANELS_FRESH_S),
        }

    async def answer(self, path: str) -> dict[str, Any]:
        """`path` is one of CONSOLE."""
        return await self._answers[path]()

    async def close(self) -> None:
        for answer in self._answers.values():
            await answer.close()
        await self._inner.close()
