"""The queries of the dashboards' panels, as Grafana would send them, and what a Prometheus says to them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.support import plain
from tollgate.render.dashboards import dashboards


@dataclass(frozen=True)
class Asked:
    """One query of a panel. `name` is `dashboard: title: legend`."""

    name: str
    panel: str
    expr: str


def asked_of_prometheus() -> Iterator[Asked]:
    for text in dashboards().values():
        model = json.loads(text)
        for panel in model["panels"]:
            for target in panel["targets"]:
                if target["datasource"]["uid"] == "prometheus":
                    name = f"{model['title']}: {panel['title']}"
                    yield Asked(f"{name}: {target['legendFormat']}", name, target["expr"])


def filled(expr: str) -> str:
    """For a range of an hour, with "All" chosen everywhere."""
    expr = expr.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return re.sub(r"\$\w+", ".*", expr)


def values(prometheus_url: str, expr: str) -> list[float]:
    """Without what is no number: a panel shows NaN as nothing."""
    answer = plain.get(
        f"{prometheus_url}/api/v1/query", params={"query": filled(expr)}, timeout=30, trust_env=False
    ).json()
    assert answer["status"] == "success", f"{expr}: {answer}"
    found = [float(result["value"][1]) for result in answer["data"]["result"]]
    return [value for value in found if not math.isnan(value)]


def empty(prometheus_url: str, asked: Iterator[Asked] | list[Asked], may_be_empty: Mapping[str, str]) -> list[str]:
    """Names of the queries that return nothing and are not listed."""
    return [one.name for one in asked if one.panel not in may_be_empty and not values(prometheus_url, one.expr)]
