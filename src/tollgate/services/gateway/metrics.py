"""Numbers for Prometheus. Labels hold names of the catalogue and words of ours, never a client's text."""

from __future__ import annotations

import re
import time
from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.registry import Collector

from tollgate.services.gateway.ledger.price import NANO_PER_USD
from tollgate.services.gateway.record import LITELLM, Record, tokens

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
# Claude Code gives up on a silent stream after five minutes.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
OTHER = "other"
# Reasons and codes are words of our code. One of them holds an upstream's status, which can be any number.
_WORD = re.compile(r"[a-z][a-z_]{0,48}(?:[45]\d\d)?")
# Tokens that are billed. Reasoning is part of the output.
_BILLED = ("input", "output", "cache_read", "cache_write")
# Parts of the converter that can fail: the request before anything is sent, the answer, a stream that has begun.
REQUEST, ANSWER, STREAM = "converter_request", "converter_answer", "converter_stream"


class Metrics:
    """`models` are the names of the catalogue.

    `running` counts the requests that run now. `started` is in seconds since 1970.
    """

    def __init__(self, models: Collection[str]) -> None:
        self._models = frozenset(models)
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"tollgate_gateway_{name}", text, labels, registry=self.registry)

        self._requests = counter("requests", "Requests that have ended", "route", "model", "status")
        self._refused = counter("refusals", "Refusals by code", "code")
        self._handed_over = counter("handovers", "Requests that LiteLLM answers, by reason", "reason")
        self._converter = counter("converter_failures", "Failures of the converter itself", "part")
        self._failures = counter("target_failures", "Failed calls of a target", "target", "kind")
        self._fallbacks = counter("fallbacks", "Answers of another model than the one asked for", "model", "fallback")
        self._cut = counter("cut_answers", "Answers that broke off", "model")
        self._tokens = counter("tokens", "Tokens of the direct route by kind", "model", "kind")
        self._cost = counter("cost_usd", "US dollars of the direct route by the model that answered", "model")

        def histogram(name: str, text: str) -> Histogram:
            full = f"tollgate_gateway_{name}_seconds"
            return Histogram(full, text, ["route", "model"], buckets=_SECONDS, registry=self.registry)

        self._first_byte = histogram("first_byte", "Seconds to the first byte of an answer")
        self._whole = histogram("whole", "Seconds to the end of an answer")
        self.running = 0
        gauge = Gauge("tollgate_gateway_running", "Requests that run now", registry=self.registry)
        gauge.set_function(lambda: self.running)
        self.started = time.time()
        start = Gauge("tollgate_gateway_start_time_seconds", "When this process started", registry=self.registry)
        start.set(self.started)
        # Alerts compare with the value before, so these begin at zero and not with the first failure.
        for part in (REQUEST, ANSWER, STREAM):
            self._converter.labels(part)

    def watch(self, collector: Collector) -> None:
        """Also show the figures of `collector`, read whenever Prometheus asks."""
        self.registry.register(collector)

    def ended(self, record: Record) -> None:
        """A request has ended, on either route."""
        asked = self._model(record.model)
        self._requests.labels(record.route, asked, _status(record.status)).inc()
        if (first := record.first_byte_s) is not None:
            self._first_byte.labels(record.route, asked).observe(first)
        self._whole.labels(record.route, asked).observe(max(0.0, time.time() - record.began))
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

    def failed(self, target: str, kind: str) -> None:
        self._failures.labels(target, word(kind)).inc()

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

    def _model(self, name: str) -> str:
        return name if name in self._models else OTHER


def word(text: str) -> str:
    return text if _WORD.fullmatch(text) else OTHER


def _status(status: int) -> str:
    if status == 499:
        return "left"
    return f"{status // 100}xx" if 200 <= status < 600 else OTHER
