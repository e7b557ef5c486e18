"""Asks Prometheus for the rendered panels and for the alerts that fire.

The queries are those of console.json, complete. Nothing that a browser sends becomes a part of one.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tollgate.services.gateway.console.inner import Inner, NoAnswerError, words

FILE = "console.json"
AT_ONCE = 4
# The scrape interval (config/prometheus/prometheus.yml.j2). In between there is nothing new.
SCRAPE_S = 15
# Seconds for all panels together. If Prometheus hangs, the page does not wait longer.
PATIENCE_S = 8.0
# A chart has as many colours (own/page/page.js); other panels are lists.
MOST_LINES, MOST_VALUES = 6, 24
# This alert always fires, to show that alerts work.
WATCHDOG = "Watchdog"
NOT_SET_UP = "This gateway process does not know where Prometheus is. `make deploy` tells it."
TOO_SLOW = f"Prometheus did not answer within {PATIENCE_S:.0f} s."
_LABEL = re.compile(r"\{\{(\w+)\}\}")

Json = dict[str, Any]


@dataclass(frozen=True)
class Query:
    """`legend` has the names of labels in double braces. `instant`: one value now, otherwise a line over the range."""

    expr: str
    legend: str
    instant: bool


@dataclass(frozen=True)
class Panel:
    """`shown` is what the page needs beside the figures: title, description, kind, unit, steps, stacked."""

    shown: Mapping[str, Any]
    queries: tuple[Query, ...]


@dataclass(frozen=True)
class Panels:
    """Times in seconds."""

    range_s: int = 0
    step_s: int = 1
    all: tuple[Panel, ...] = ()


def read(file: Path) -> Panels:
    """What render/console.py wrote; nothing if it was not rendered. Raises KeyError or ValueError for another shape."""
    if not file.exists():
        return Panels()
    stated = json.loads(file.read_text())
    return Panels(stated["range_s"], stated["step_s"], tuple(_panel(panel) for panel in stated["panels"]))


def _panel(stated: Json) -> Panel:
    shown = {name: value for name, value in stated.items() if name != "queries"}
    return Panel(shown, tuple(Query(query["expr"], query["legend"], query["instant"]) for query in stated["queries"]))


class Prometheus:
    """`base` is its address, as http://host:port; empty: nobody told it."""

    def __init__(self, inner: Inner, base: str, panels: Panels, clock: Callable[[], float] = time.time) -> None:
        self._inner, self._base, self._panels, self._clock = inner, base, panels, clock
        self._running = asyncio.Semaphore(AT_ONCE)

    async def answer(self) -> Json:
        """Every panel with its figures or its problem, and the alerts."""
        end = math.floor(self._clock() / SCRAPE_S) * SCRAPE_S
        alerts, *panels = await asyncio.gather(
            self._alerts(), *(self._answered(panel, end) for panel in self._panels.all)
        )
        times = {"since": end - self._panels.range_s, "until": end, "step_s": self._panels.step_s}
        return {**times, "alerts": alerts, "panels": panels}

    async def _answered(self, panel: Panel, end: int) -> Json:
        try:
            async with asyncio.timeout(PATIENCE_S):
                lines = [series for query in panel.queries for series in await self._series(query, end)]
        except TimeoutError:
            return {**panel.shown, "series": [], "left_out": 0, "problem": TOO_SLOW}
        except NoAnswerError as error:
            return {**panel.shown, "series": [], "left_out": 0, "problem": str(error)}
        kept = largest(lines, MOST_LINES if panel.shown["kind"] == "timeseries" else MOST_VALUES)
        return {**panel.shown, "series": kept, "left_out": len(lines) - len(kept), "problem": None}

    async def _series(self, query: Query, end: int) -> list[Json]:
        if query.instant:
            result = await self._ask("query", {"query": query.expr}, "vector")
            return list(_instant(query, result))
        start, step = end - self._panels.range_s, self._panels.step_s
        asked = {"query": query.expr, "start": str(start), "end": str(end), "step": str(step)}
        times = range(start, end + 1, step)
        return list(_over_time(query, await self._ask("query_range", asked, "matrix"), times))

    async def _ask(self, kind: str, asked: Mapping[str, str], expected: str) -> list[Any]:
        data = await self._data(kind, asked)
        result = data.get("result")
        if data.get("resultType") != expected or not isinstance(result, list):
            raise NoAnswerError("Prometheus answered in a form that this release does not know.")
        return result

    async def _data(self, kind: str, asked: Mapping[str, str] | None = None) -> Json:
        if not self._base:
            raise NoAnswerError(NOT_SET_UP)
        async with self._running:
            content = await self._inner.json("Prometheus", f"{self._base}/api/v1/{kind}", asked)
        data = content.get("data")
        if content.get("status") != "success" or not isinstance(data, dict):
            raise NoAnswerError("Prometheus refused the question.")
        return data

    async def _alerts(self) -> Json:
        """`watchdog` is false if no alert could fire."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                stated = (await self._data("alerts")).get("alerts")
        except TimeoutError:
            return {"firing": [], "watchdog": None, "problem": TOO_SLOW}
        except NoAnswerError as error:
            return {"firing": [], "watchdog": None, "problem": str(error)}
        alerts = [alert for alert in map(_alert, stated if isinstance(stated, list) else ()) if alert is not None]
        firing = [alert for alert in alerts if alert["name"] != WATCHDOG]
        order = ("page", "ticket")
        firing.sort(key=lambda alert: (alert["severity"] not in order, alert["severity"], alert["since"]))
        return {"firing": firing, "watchdog": len(firing) < len(alerts), "problem": None}


def largest(series: Sequence[Json], most: int) -> list[Json]:
    """At most `most`, those with the highest values, in the order that Prometheus has them."""
    if len(series) <= most:
        return list(series)

    def peak(line: Json) -> float:
        return max((abs(value) for value in line["values"] if value is not None), default=0.0)

    kept = sorted(range(len(series)), key=lambda number: peak(series[number]), reverse=True)[:most]
    return [series[number] for number in sorted(kept)]


def _instant(query: Query, result: list[Any]) -> Iterator[Json]:
    for series in result:
        with_value = isinstance(series, dict) and isinstance(series.get("value"), list) and len(series["value"]) == 2
        if with_value:
            yield {"name": _name(query, series.get("metric")), "values": [_number(series["value"][1])]}


def _over_time(query: Query, result: list[Any], times: range) -> Iterator[Json]:
    """One value for each of `times`; None where the series has none."""
    for series in result:
        points = series.get("values") if isinstance(series, dict) else None
        if not isinstance(points, list):
            continue
        pairs = (point for point in points if isinstance(point, list) and len(point) == 2)
        known = {round(point[0]): _number(point[1]) for point in pairs if isinstance(point[0], (int, float))}
        yield {"name": _name(query, series.get("metric")), "values": [known.get(moment) for moment in times]}


def _name(query: Query, metric: Any) -> str:
    labels = _object(metric)
    if query.legend:
        return words(_LABEL.sub(lambda match: str(labels.get(match[1], "")), query.legend)) or "none"
    return words(", ".join(f"{name}={value}" for name, value in labels.items())) or "value"


def _object(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _number(text: Any) -> float | None:
    """None for a value that JSON and a chart have no place for."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _alert(stated: Any) -> Json | None:
    """None for an alert that does not fire yet."""
    if not isinstance(stated, dict) or stated.get("state") != "firing":
        return None
    labels, notes = _object(stated.get("labels")), _object(stated.get("annotations"))
    return {
        "name": words(labels.get("alertname")),
        "severity": words(labels.get("severity")),
        "since": words(stated.get("activeAt"))[:19],
        "summary": words(notes.get("summary")),
        "description": words(notes.get("description"), 2000),
        "runbook": words(notes.get("runbook")),
    }
