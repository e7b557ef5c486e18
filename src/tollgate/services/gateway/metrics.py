"""Numbers for Prometheus. Labels hold names of the catalogue, ids of tenants and our words, never a client's text."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Sequence
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector

from tollgate.services.gateway.ledger.price import NANO_PER_USD
from tollgate.services.gateway.outcomes import OUTCOMES, STREAM, outcome_of
from tollgate.services.gateway.record import LITELLM, OWN, Record, tokens

# Otherwise each series gets a second one with its start time.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
# Claude Code gives up on a silent stream after five minutes. A quantile is a guess between two bounds, so they are
# close together where answers usually are. The objectives compare with a bound of `own`
# (config/prometheus/rules/objectives.yml.j2).
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 7.5, 10, 15, 20, 30, 60, 120, 300, 600)
_TARGET_SECONDS = (0.1, 0.25, 0.5, 1, 2, 3, 5, 7.5, 10, 20, 30, 60, 120)
_OWN_SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
OTHER = "other"
# Only the operator has no tenant.
OPERATOR = "operator"
# Each tenant that sends requests is a few series. Beyond this number they share one.
MOST_TENANTS = 2_000
# Reasons and codes are words of our code. One of them holds an upstream's status, which can be any number.
_WORD = re.compile(r"[a-z][a-z_]{0,48}(?:[45]\d\d)?")
# Tokens that are billed. Reasoning is part of the output.
_BILLED = ("input", "output", "cache_read", "cache_write")
# Parts of the converter that can fail before a client has anything: the request, the answer.
REQUEST, ANSWER = "converter_request", "converter_answer"
_ANSWERED, _FAILED = "answered", "failed"


class _Series:
    """The series of a metric. `labels` remembers them: Prometheus's own search takes longer than counting."""

    def __init__(self, metric: Counter | Histogram) -> None:
        self._metric = metric
        self._known: dict[tuple[str, ...], Any] = {}

    def labels(self, *labels: str) -> Any:
        if (series := self._known.get(labels)) is None:
            series = self._known[labels] = self._metric.labels(*labels)
        return series


class Metrics:
    """`models` are the names of the catalogue, `targets` the ids of its targets.

    `running` counts the requests that run now. `started` is in seconds since 1970.
    """

    def __init__(self, models: Collection[str], targets: Collection[str] = ()) -> None:
        self._models, self._tenants = frozenset(models), set[str]()
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> _Series:
            return _Series(Counter(f"tollgate_gateway_{name}", text, labels, registry=self.registry))

        self._requests = counter("requests", "Requests that have ended", "route", "model", "status")
        self._refused = counter("refusals", "Refusals by code", "code")
        self._handed_over = counter("handovers", "Requests that LiteLLM answers, by reason", "reason")
        self._converter = counter("converter_failures", "Failures of the converter itself", "part")
        self._failures = counter("target_failures", "Failed calls of a target", "target", "kind")
        self._fallbacks = counter("fallbacks", "Answers of another model than the one asked for", "model", "fallback")
        self._cut = counter("cut_answers", "Answers that broke off", "model")
        self._tokens = counter("tokens", "Tokens of the direct route by kind", "model", "kind")
        self._cost = counter("cost_usd", "US dollars of the direct route by the model that answered", "model")
        self._outcomes = counter("outcomes", "Requests for models by how they ended", "outcome")
        self._of_tenant = counter("tenant_requests", "Requests of a tenant by how they ended", "tenant", "outcome")
        self._calls = counter("target_calls", "Calls of a target", "target", "outcome")

        def histogram(name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> _Series:
            name = f"tollgate_gateway_{name}_seconds"
            return _Series(Histogram(name, text, labels, buckets=buckets, registry=self.registry))

        self._first_byte = histogram("first_byte", "To the first byte of an answer", ("route", "model"), _SECONDS)
        self._whole = histogram("whole", "To the end of a request, however it ended", ("route", "model"), _SECONDS)
        self._own = histogram(
            "own", "To the first byte of an answer, without waiting for upstreams and LiteLLM", ("route",), _OWN_SECONDS
        )
        self._of_target = histogram("target_first_byte", "To a target's first byte", ("target",), _TARGET_SECONDS)
        lag = "tollgate_gateway_event_loop_lag_seconds"
        self._lag = Histogram(lag, "How late the event loop ran a timer", buckets=_LAG_SECONDS, registry=self.registry)
        ProcessCollector(registry=self.registry)
        self.running = 0
        self.started = time.time()
        gauge = Gauge("tollgate_gateway_running", "Requests that run now", registry=self.registry)
        gauge.set_function(lambda: self.running)
        # Alerts and panels compare with the value before, so these begin at zero and not with the first failure.
        for part in (REQUEST, ANSWER, STREAM):
            self._converter.labels(part)
        for model in self._models:
            self._cost.labels(model)
        for outcome in OUTCOMES:
            self._outcomes.labels(outcome)
        for target in targets:
            for outcome in (_ANSWERED, _FAILED):
                self._calls.labels(target, outcome)

    def watch(self, collector: Collector) -> None:
        """Also show the figures of `collector`, read whenever Prometheus asks."""
        self.registry.register(collector)

    def ended(self, record: Record) -> None:
        """A request has ended, on either route."""
        asked = self._model(record.model)
        self._requests.labels(record.route, asked, _status(record.status)).inc()
        if record.route != OWN:
            self._ended(outcome_of(record.meant, record.code, record.error, record.route), record.tenant)
            self._whole.labels(record.route, asked).observe(record.whole_s)
        if (first := record.first_byte_s) is not None:
            self._first_byte.labels(record.route, asked).observe(first)
        if record.own_s is not None:
            self._own.labels(record.route).observe(record.own_s)
        if record.error and record.status == 200:
            self._cut.labels(asked).inc()
        if record.route == LITELLM or not record.answered_by:
            return
        model = self._model(record.answered_by)
        used = tokens(record.usage)
        for kind in _BILLED:
            if used.get(kind):
                self._tokens.labels(model, kind).inc(used[kind])
        self._cost.labels(model).inc(record.nano / NANO_PER_USD)

    def turned_away(self, status: int, code: str, tenant: str | None = None) -> None:
        """The guard refused a request. `tenant` is None if its key is not known."""
        self._ended(outcome_of(status, code), tenant)

    def _ended(self, outcome: str, tenant: str | None) -> None:
        self._outcomes.labels(outcome).inc()
        if tenant is not None:
            self._of_tenant.labels(self._tenant(tenant or OPERATOR), outcome).inc()

    def answered(self, target: str, seconds: float) -> None:
        """A target answered; its first byte came after `seconds`."""
        self._calls.labels(target, _ANSWERED).inc()
        self._of_target.labels(target).observe(seconds)

    def failed(self, target: str, kind: str) -> None:
        self._calls.labels(target, _FAILED).inc()
        self._failures.labels(target, word(kind)).inc()

    def lagged(self, seconds: float) -> None:
        """The event loop ran a timer this much too late."""
        self._lag.observe(seconds)

    def fell_back(self, model: str, fallback: str) -> None:
        self._fallbacks.labels(self._model(model), self._model(fallback)).inc()

    def refused(self, code: str) -> None:
        self._refused.labels(word(code)).inc()

    def handed_over(self, reason: str) -> None:
        self._handed_over.labels(word(reason)).inc()
        if reason in (REQUEST, ANSWER):
            self._converter.labels(reason).inc()

    def stream_not_converted(self) -> None:
        """The converter failed in an answer that the client already had a part of."""
        self._converter.labels(STREAM).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _tenant(self, tenant: str) -> str:
        if tenant in self._tenants or len(self._tenants) < MOST_TENANTS:
            self._tenants.add(tenant)
            return tenant
        return OTHER

    def _model(self, name: str) -> str:
        return name if name in self._models else OTHER


def word(text: str) -> str:
    return text if _WORD.fullmatch(text) else OTHER


def _status(status: int) -> str:
    if status == 499:
        return "left"
    return f"{status // 100}xx" if 200 <= status < 600 else OTHER
