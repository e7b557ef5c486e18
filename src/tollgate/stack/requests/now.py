"""Rates of the last minute by tenant, model, gateway process and replica, and nginx's connections."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from tollgate.errors import TollgateError
from tollgate.stack.containers import gateways
from tollgate.stack.deployment import PROMETHEUS, Deployment
from tollgate.stack.requests import litellm_rates
from tollgate.stack.requests.litellm_rates import MODEL, REPLICA, TENANT, Rows
from tollgate.stack.requests.live import Ended, Minute, Row

_STUB_STATUS = ("curl", "-fsS", "--max-time", "4", "http://127.0.0.1:8081/stub_status")
_ACTIVE = re.compile(r"Active connections: (\d+)")


@dataclass(frozen=True)
class Look:
    """The busiest first, except for gateway processes and replicas. `problems` are the parts that did not answer."""

    at: datetime
    tenants: Sequence[Row]
    models: Sequence[Row]
    gateways: Sequence[Row]
    replicas: Sequence[Row]
    connections: int | None
    problems: Sequence[str]


@dataclass
class Looker:
    """`services` are those of the deployment. Compose takes a second to list them, so they are asked for once, as
    Prometheus's address is."""

    deployment: Deployment
    minute: Minute
    services: Sequence[str]
    clock: Callable[[], float] = time.time
    _prometheus: str = ""

    def look(self) -> Look:
        """Asks every part once. A part that does not answer is a problem, and the others are shown."""
        compose, minute, problems = self.deployment.compose, self.minute, list[str]()
        processes = gateways.processes(self.services, {row.service: row for row in compose.containers()})
        of_litellm = self._of_litellm(problems)
        now = self.clock()
        return Look(
            datetime.fromtimestamp(now, UTC),
            _both(minute, lambda ended: ended.tenant, now, of_litellm.get(TENANT, {}), gateways=bool(processes)),
            _both(minute, lambda ended: ended.model, now, of_litellm.get(MODEL, {}), gateways=bool(processes)),
            _processes(minute, processes, now),
            sorted(of_litellm.get(REPLICA, {}).values(), key=lambda row: (len(row.name), row.name)),
            _connections(self.deployment, problems),
            problems,
        )

    def _of_litellm(self, problems: list[str]) -> Mapping[str, Rows]:
        try:
            self._prometheus = self._prometheus or self.deployment.url(PROMETHEUS)
            return litellm_rates.rates(self._prometheus)
        except TollgateError as error:
            self._prometheus = ""  # with a port of 0 it has another one after a restart
            problems.append(f"no figures of LiteLLM: {error.message}")
            return {}


def _both(minute: Minute, by: Callable[[Ended], str], now: float, of_litellm: Rows, *, gateways: bool) -> Sequence[Row]:
    """Gateway processes log the requests that they hand to LiteLLM too, but not their tokens and cost."""
    rows = minute.rows(by, now)
    for name, row in of_litellm.items():
        rows[name] = rows.get(name, Row(name)).plus(row) if gateways else row
    used = [row for row in rows.values() if row.requests_s or row.tokens_s or row.usd_h]
    return sorted(used, key=lambda row: (-row.requests_s, -row.usd_h, row.name))


def _processes(minute: Minute, processes: Sequence[gateways.GatewayProcess], now: float) -> Sequence[Row]:
    rows = minute.rows(lambda ended: ended.process, now)
    return [
        replace(rows.get(process.name, Row(process.name)), running=process.running if process.ready else None)
        for process in processes
    ]


def _connections(deployment: Deployment, problems: list[str]) -> int | None:
    try:
        text = deployment.compose.ask("exec", "-T", "nginx", *_STUB_STATUS, timeout=15)
    except TollgateError as error:
        problems.append(f"nginx does not answer: {error.message}")
        return None
    active = _ACTIVE.search(text)
    return int(active[1]) if active else None
