"""Builds a Grafana dashboard from panels, as JSON in the classic model.

schemaVersion 42 is what Grafana 11 to 13 all load from files (docs/facts.md 10). Every panel says its unit
and what it means; positions and ids follow from the order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA_VERSION = 42
GRID_WIDTH = 24

Json = dict[str, Any]

RED_BELOW_ONE = ((None, "red"), (1, "green"))
QUANTILES = ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
# For a share of processes that answer: all, some, none.
ALL_OF_THEM = ((None, "red"), (0.01, "orange"), (1, "green"))
RED_FROM_ONE = ((None, "green"), (1, "red"))


@dataclass(frozen=True)
class Query:
    """One PromQL or LogQL expression. `legend` is Grafana's template of label names; `instant` asks for one point."""

    expr: str
    legend: str = ""
    instant: bool = False

    def json(self, ref: str, datasource: Json) -> Json:
        return {
            "refId": ref,
            "datasource": datasource,
            "expr": self.expr,
            "legendFormat": self.legend or "__auto",
            "instant": self.instant,
            "range": not self.instant,
            "editorMode": "code",
        }


def now_only(expr: str, legend: str) -> Query:
    """One point. Over a range a panel would still show the last value of a series that has stopped."""
    return Query(expr, legend, instant=True)


@dataclass(frozen=True)
class Panel:
    """One panel. `unit` is one of Grafana's unit ids; `width` is of 24 columns, `height` of 30 pixel rows.

    `steps` are (from this value on, colour), the first from minus infinity, and colour the value itself.
    """

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 12
    height: int = 8
    datasource: str = "prometheus"
    steps: Sequence[tuple[float | None, str]] = ((None, "green"),)
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)

    def json(self, number: int, x: int, y: int) -> Json:
        source = {"type": self.datasource, "uid": self.datasource}
        defaults: Json = {
            "unit": self.unit,
            "thresholds": {"mode": "absolute", "steps": [{"value": v, "color": colour} for v, colour in self.steps]},
            "color": {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"},
        }
        if self.custom:
            defaults["custom"] = self.custom
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": source,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": self.options,
            "targets": [query.json(chr(ord("A") + n), source) for n, query in enumerate(self.queries)],
        }


def stat(title: str, description: str, queries: Sequence[Query], **more: Any) -> Panel:
    """The newest number."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value", "textMode": "auto"}
    return Panel("stat", title, description, queries, options=options, **{"width": 4, "height": 5} | more)


def series(title: str, description: str, queries: Sequence[Query], *, stacked: bool = False, **more: Any) -> Panel:
    """Lines over time, with a table of the last and highest values below."""
    custom: Json = {"lineWidth": 1, "fillOpacity": 25 if stacked else 5, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, queries, options=options, custom=custom, **more)


def bars(title: str, description: str, queries: Sequence[Query], **more: Any) -> Panel:
    """One bar a series, of its value over the whole time range."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "orientation": "horizontal", "displayMode": "basic"}
    return Panel("bargauge", title, description, queries, options=options, **more)


def logs(title: str, description: str, queries: Sequence[Query], **more: Any) -> Panel:
    """Log lines, newest first."""
    options = {"showTime": True, "wrapLogMessage": True, "enableLogDetails": True, "sortOrder": "Descending"}
    return Panel("logs", title, description, queries, datasource="loki", options=options, **{"width": 24} | more)


def choice(name: str, label: str, query: str, everything: str | None = ".*", source: str = "prometheus") -> Json:
    """A drop-down with the values that `query` finds in `source`. `everything` is the expression for "All".

    Without "All" the dashboard opens with the first value.
    """
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": {"type": source, "uid": source},
        # Grafana's data source for Loki wants a text.
        "query": query if source == "loki" else {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": everything is not None,
        "allValue": everything,
        "current": {"text": "All", "value": "$__all"} if everything is not None else {},
        "options": [],
    }


def dashboard(uid: str, title: str, description: str, choices: Iterable[Json], panels: Iterable[Panel]) -> str:
    """The JSON text of one dashboard: panels numbered and placed left to right, in a new row if one does not fit."""
    placed: list[Json] = []
    x = y = row_height = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > GRID_WIDTH:
            x, y, row_height = 0, y + row_height, 0
        placed.append(panel.json(number, x, y))
        x, row_height = x + panel.width, max(row_height, panel.height)
    model = {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["tollgate"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "timezone": "browser",
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": list(choices)},
        "annotations": {"list": []},
        # To the other dashboards, with the same time range.
        "links": [{"type": "dashboards", "tags": ["tollgate"], "title": "Tollgate", "keepTime": True}],
        "panels": placed,
    }
    return json.dumps(model, indent=2, ensure_ascii=False) + "\n"
