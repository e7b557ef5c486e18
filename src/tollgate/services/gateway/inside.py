"""The state of a gateway process: journal, limiter, keys. Read when Prometheus or `/health/readiness` asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from tollgate.services.gateway.keys import Keys
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.ledger.ship import Shipper
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.replicas import Replicas
from tollgate.services.limits.figures import Figures


@dataclass(eq=False)
class Inside(Collector):
    """`direct` says whether any model is served directly."""

    direct: bool
    metrics: Metrics
    journal: Journal
    shipper: Shipper
    limits: Figures
    keys: Keys
    replicas: Replicas

    def collect(self) -> Iterator[Any]:
        for name, text, value in self._now():
            yield GaugeMetricFamily(f"tollgate_gateway_{name}", text, value=value)
        for name, text, value in self._since_the_start():
            yield CounterMetricFamily(f"tollgate_gateway_{name}", text, value=value)

    def health(self) -> dict[str, Any]:
        """For `make status`, `make doctor` and a rollout. It names no tenant and no address."""
        return {
            "status": "ok",
            "route": "direct" if self.direct else "litellm",
            "running": self.metrics.running,
            "listening": self.keys.listening,
            "redis": not self.limits.redis_away,
            "replicas": self.replicas.state(),
            "ledger": {
                "waiting": self.shipper.waiting_calls,
                "lag_s": round(self.shipper.lag_seconds, 1),
                "failing": self.shipper.failing,
                "unwritten": self.journal.unwritten,
                "set_aside": self.shipper.set_aside,
            },
        }

    def _now(self) -> Iterator[tuple[str, str, float]]:
        yield "direct_on", "1 if models are served directly, 0 if LiteLLM serves all", self.direct
        yield "journal_waiting_calls", "Calls that are not in Postgres yet", self.shipper.waiting_calls
        yield "journal_waiting_bytes", "Bytes of the journal that are not in Postgres yet", self.shipper.waiting_bytes
        yield "journal_lag_seconds", "Age of the oldest call that could not be shipped", self.shipper.lag_seconds
        yield "journal_unwritten_lines", "Lines that the disk did not take", self.journal.unwritten
        yield "journal_failing", "1 if the last try to ship failed", bool(self.shipper.failing)
        yield "journal_set_aside_calls", "Calls that Postgres refuses for their data", self.shipper.set_aside
        yield "redis_away", "1 while this process counts limits alone", self.limits.redis_away
        yield "keys_remembered", "Keys that are known without asking Postgres", self.keys.remembered
        yield "listening", "1 if Postgres tells about changed keys", self.keys.listening

    def _since_the_start(self) -> Iterator[tuple[str, str, float]]:
        yield "journal_shipped_calls", "Calls that were brought to Postgres", self.shipper.shipped
        yield "journal_ship_failures", "Tries to ship that failed", self.shipper.failures
        yield "journal_sync_failures", "Failed syncs of the journal's disk", self.journal.sync_failures
        yield "redis_full", "Requests for which Redis had no memory", self.limits.redis_full
        yield "money_unheld", "Requests that passed a budget nobody could read", self.limits.money_unheld
        yield "settlements_dropped", "Settlements that Redis never got", self.limits.settlements_dropped
