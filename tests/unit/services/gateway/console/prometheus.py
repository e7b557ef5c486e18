"""A strict stand-in for Prometheus: it answers exactly the rendered questions, and refuses and notes every other one.

`test_queries.py` holds those questions to real PromQL with promtool.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tollgate.render.console import FILE, RANGE_S, SCRAPE_S, STEP_S, console, render_console
from tollgate.render.dashboards import panels

Labels = dict[str, str]
LABELS: dict[str, list[str]] = {
    "gateway": ["gateway-1", "gateway-2"],
    "replica": ["litellm-1", "litellm-2", "litellm-3"],
    "tenant": ["platform", "research", "support"],
    "outcome": ["answered", "refused", "upstream_failed"],
    "model": ["sonnet", "claude-opus-5-5", "claude-haiku-5-5"],
    "route": ["direct", "litellm"],
    "status": ["2xx", "4xx", "5xx"],
    "status_code": ["200", "429", "503"],
    "reason": ["route", "provider"],
    "code": ["budget_exceeded", "requests_per_minute"],
    "target": ["sonnet:anthropic"],
    "kind": ["input", "output", "cache_read"],
}
FIRING = {
    "labels": {"alertname": "ReplicaDown", "severity": "ticket", "replica": "litellm-3"},
    "annotations": {
        "summary": "Replica litellm-3 does not answer Prometheus",
        "description": "nginx sends its requests to the others. Look at the container: `make status`, `make logs`.",
        "runbook": "docs/runbooks/a-replica-is-down.md",
    },
    "state": "firing",
    "activeAt": "2026-11-29T09:14:31.123456789Z",
    "value": "0e+00",
}
WATCHDOG = {**FIRING, "labels": {"alertname": "Watchdog", "severity": "none"}}
PENDING = {**FIRING, "state": "pending", "labels": {"alertname": "RedisDown", "severity": "page"}}


@dataclass
class Stand:
    """`asked` has every question, `mistakes` those that a strict Prometheus of this deployment would never get."""

    instant: set[str]
    ranges: set[str]
    alerts: list[Any] = field(default_factory=lambda: [FIRING, WATCHDOG, PENDING])
    labels: dict[str, list[str]] = field(default_factory=lambda: dict(LABELS))
    asked: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    broken: bytes | None = None
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.broken is not None:
            return web.Response(body=self.broken, content_type="application/json")
        given = dict(request.query)
        if request.method != "GET":
            return self._refused(f"{request.method} {request.path}")
        if request.path == "/api/v1/alerts" and not given:
            return _data({"alerts": self.alerts})
        if request.path == "/api/v1/query" and given.keys() == {"query"} and given["query"] in self.instant:
            return _data({"resultType": "vector", "result": list(self._vector(given["query"]))})
        if request.path == "/api/v1/query_range" and given.get("query") in self.ranges and _right_range(given):
            return _data({"resultType": "matrix", "result": list(self._matrix(given))})
        return self._refused(request.path_qs)

    def _refused(self, what: str) -> web.Response:
        self.mistakes.append(what)
        error = {"status": "error", "errorType": "bad_data", "error": "not one of the rendered questions"}
        return web.json_response(error, status=400)

    def _series(self, expr: str) -> Iterable[tuple[int, Labels]]:
        grouped = re.findall(r"by \((\w+)\)", expr)
        names = [name for name in grouped if name in self.labels]
        if not names:
            return [(0, {})]
        return [(number, {names[0]: value}) for number, value in enumerate(self.labels[names[0]])]

    def _vector(self, expr: str) -> Iterable[Any]:
        for number, labels in self._series(expr):
            yield {"metric": labels, "value": [0, f"{_value(expr, number):.6f}"]}

    def _matrix(self, given: dict[str, str]) -> Iterable[Any]:
        times = range(int(given["start"]), int(given["end"]) + 1, int(given["step"]))
        for number, labels in self._series(given["query"]):
            base = _value(given["query"], number)
            # A gap, as of a process that was away for a while.
            kept = [(at, index) for index, at in enumerate(times) if number == 0 or not 20 <= index < 26]
            points = [[at, f"{base * (1.2 + math.sin(index / 9 + number)):.6f}"] for at, index in kept]
            yield {"metric": labels, "values": points}


def _value(expr: str, number: int) -> float:
    """Plausible figures, so that pictures of the page look like a gateway at work."""
    known = (
        ("[30d]", 0.87),
        ("ratio_rate1h", 0.4),
        ("own_seconds", 0.012),
        ("certificate", 71 * 86400),
        ("backup_last", 7.3 * 3600),
        ("start_time", 3.6 * 86400),
        ("filesystem", 0.41),
        ("ALERTS", 1),
        ("5..|None", 0.004),
        ("journal", 0),
        ("redis_away", 0),
        ("converter_failures", 0),
        ("histogram_quantile(0.99", 6.1),
        ("histogram_quantile(0.95", 2.4),
        ("histogram_quantile(0.5", 0.7),
        ("avg(up", 1),
        ("pg_up", 1),
        ("redis_up", 1),
        ("nginx_up", 1),
        ("tokens", 2100),
        ("* 3600", 3.2),
        ("spend_usd:hour", 3.2),
        ("max_over_time", 41.2),
        ("increase(", 41.2),
        ("running", 3),
    )
    value = next((amount for part, amount in known if part in expr), 1.4)
    return value / (1 + 1.7 * number)


def _right_range(given: dict[str, str]) -> bool:
    if given.keys() != {"query", "start", "end", "step"}:
        return False
    start, end, step = (int(given[name]) for name in ("start", "end", "step"))
    return (end - start, step, end % SCRAPE_S) == (RANGE_S, STEP_S, 0)


def _data(data: Any) -> web.Response:
    return web.json_response({"status": "success", "data": data})


def rendered(directory: Path) -> None:
    """As a deploy writes it."""
    file = directory / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(render_console().text)


def queries() -> list[dict[str, Any]]:
    return [query for panel in console(panels())["panels"] for query in panel["queries"]]


@asynccontextmanager
async def standing() -> AsyncIterator[Stand]:
    found = queries()
    stand = Stand(
        {query["expr"] for query in found if query["instant"]},
        {query["expr"] for query in found if not query["instant"]},
    )
    async with served(stand.answer) as url:
        stand.url = url
        yield stand


@asynccontextmanager
async def served(handler: Any) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
