"""The panels of the page /console, which are Grafana's, as the gateway processes ask Prometheus for them.

The queries are complete: a browser chooses no part of them. A variable of Grafana stands for everything, as its choice
"All" does, and the time range is that of the dashboards.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from tollgate.render import dashboards
from tollgate.render.output import Rendered
from tollgate.render.panels import Panel, Query

FILE = PurePosixPath("gateway/console.json")
RANGE_S = 6 * 3600
STEP_S = 240
# As config/prometheus/prometheus.yml.j2 says.
SCRAPE_S = 15
# Grafana's rule: a rate must see four scrapes, and every point of the chart.
RATE_S = max(STEP_S + SCRAPE_S, 4 * SCRAPE_S)
# The page has no logs. `make logs` has them, and Loki if it runs.
SOURCE = "prometheus"
_VARIABLE = re.compile(r"\$(\w+)")


def render_console() -> Rendered:
    """gateway/console.json."""
    return Rendered(FILE, json.dumps(console(dashboards.panels()), indent=1, ensure_ascii=False) + "\n")


def console(shown: Iterable[Panel]) -> dict[str, Any]:
    """Times in seconds. A step is (from this value on, colour), as in Panel."""
    values = {choice["name"]: str(choice["allValue"]) for choice in dashboards.CHOICES if choice["includeAll"]}
    values |= {"__rate_interval": f"{RATE_S}s", "__range": f"{RANGE_S}s"}
    return {
        "range_s": RANGE_S,
        "step_s": STEP_S,
        "panels": [_panel(panel, values) for panel in shown if panel.datasource == SOURCE],
    }


def _panel(panel: Panel, values: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "unit": panel.unit,
        "stacked": "stacking" in panel.custom,
        "steps": [[value, colour] for value, colour in panel.steps],
        "queries": [_query(query, values) for query in panel.queries],
    }


def _query(query: Query, values: Mapping[str, str]) -> dict[str, Any]:
    """KeyError for a variable that nothing fills in."""
    expr = _VARIABLE.sub(lambda match: values[match[1]], query.expr)
    return {"expr": expr, "legend": query.legend, "instant": query.instant}
