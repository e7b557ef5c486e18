"""The series that the panels read, as text in OpenMetrics, of a deployment with many tenants: made up, with real names.

A series is one of a few shapes of samples under its own name and labels, so a day of a thousand tenants is written in
seconds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from tollgate.services.gateway import metrics

SCRAPE_S = 15
HOUR, DAY = 3600, 86400
GATEWAYS, REPLICAS, MODELS = ("gateway-1", "gateway-2"), ("litellm-1", "litellm-2", "litellm-3"), 8
OUTCOMES = ("answered", "refused", "upstream_failed", "gateway_failed", "left")
ROUTES = ("direct", "litellm")
SHAPES = 16
Kind = Literal["counter", "gauge"]
_OF_ANSWERS, _OF_TARGETS = metrics._SECONDS, metrics._TARGET_SECONDS
BOUNDS = {"first_byte": _OF_ANSWERS, "whole": _OF_ANSWERS, "target": _OF_TARGETS}
BOUNDS |= {"own": metrics._OWN_SECONDS, "lag": metrics._LAG_SECONDS}


@dataclass(frozen=True)
class Family:
    """`labels` maps each label to its values: there is one series for each combination. `seconds` and `step` are the
    length of its history and the time between two samples."""

    name: str
    labels: dict[str, Sequence[str]]
    seconds: int
    step: int = SCRAPE_S
    kind: Kind = "counter"

    @property
    def series(self) -> int:
        return math.prod(len(values) for values in self.labels.values())


def families(tenants: int) -> list[Family]:
    """`tenants` have limits on requests, tokens and parallel requests, and budgets of a day and a month."""
    names = [f"tenant-{number:04}" for number in range(tenants)]
    by_tenant, by_gateway = {"tenant": names}, {"gateway": GATEWAYS}
    models = {"model": [f"model-{number}" for number in range(MODELS)]}
    targets = {"target": [f"model-{number}:1" for number in range(MODELS)]}
    now, shown = 10 * 60, 7 * HOUR
    own = {**by_gateway, "route": ROUTES}
    return [
        *_tenants(by_tenant, shown, now),
        *long(),
        Family("tollgate_gateway_outcomes_total", {**by_gateway, "outcome": OUTCOMES}, 2 * shown),
        Family("tollgate_gateway_own_seconds_bucket", {**own, "le": _bounds("own")}, 2 * shown),
        Family("tollgate_gateway_own_seconds_count", own, 2 * shown),
        Family(
            "tollgate_gateway_requests_total",
            {**by_gateway, **models, "route": ROUTES, "status": ("200", "429", "502")},
            shown,
        ),
        *(
            Family(f"tollgate_gateway_{name}_seconds_bucket", {**own, **models, "le": _bounds(name)}, shown)
            for name in ("first_byte", "whole")
        ),
        Family(
            "tollgate_gateway_target_first_byte_seconds_bucket",
            {**by_gateway, **targets, "le": _bounds("target")},
            shown,
        ),
        Family(
            "tollgate_gateway_target_calls_total", {**by_gateway, **targets, "outcome": ("answered", "failed")}, shown
        ),
        Family("tollgate_gateway_target_failures_total", {**by_gateway, **targets, "kind": ("502", "timeout")}, shown),
        Family("tollgate_gateway_target_resting", {**by_gateway, **targets}, shown, kind="gauge"),
        Family(
            "tollgate_gateway_tokens_total",
            {**by_gateway, **models, "kind": ("input", "output", "cache_read", "cache_write")},
            shown,
        ),
        Family("tollgate_gateway_cost_usd_total", {**by_gateway, **models}, shown),
        Family("tollgate_gateway_handovers_total", {**by_gateway, "reason": ("route", "name", "provider")}, shown),
        Family("tollgate_gateway_refusals_total", {**by_gateway, "code": ("rate_limit", "budget", "not_found")}, shown),
        Family("tollgate_gateway_event_loop_lag_seconds_bucket", {**by_gateway, "le": _bounds("lag")}, shown),
        Family("tollgate_gateway_running", by_gateway, shown, kind="gauge"),
        Family("up", {"job": ("gateway",), **by_gateway}, shown, kind="gauge"),
        Family("up", {"job": ("litellm",), "replica": REPLICAS}, shown, kind="gauge"),
    ]


def long() -> list[Family]:
    """The series that rules record for the panels of 30 days. To compute them from counters would take an hour."""
    return [
        Family("outcome:tollgate_outcomes:increase5m", {"outcome": OUTCOMES}, 30 * DAY, 300, "gauge"),
        Family("tollgate:own_answers:increase5m", {}, 30 * DAY, 300, "gauge"),
        Family("tollgate:own_late:increase5m", {}, 30 * DAY, 300, "gauge"),
    ]


def _tenants(by_tenant: dict[str, Sequence[str]], shown: int, now: int) -> Iterator[Family]:
    used = "tollgate_tenant_limit_used_ratio"
    sends = {"gateway": GATEWAYS, **by_tenant, "outcome": ("answered", "refused", "upstream_failed")}
    yield Family("tollgate_gateway_tenant_requests_total", sends, shown)
    yield Family("tollgate_tenant_spend_usd_total", by_tenant, shown, 60)
    yield Family("tollgate_tenant_budget_usd", {**by_tenant, "window": ("day", "month")}, now, kind="gauge")
    yield Family(used, {**by_tenant, "limit": ("requests", "tokens"), "window": ("minute",)}, shown, kind="gauge")
    yield Family(used, {**by_tenant, "limit": ("parallel",), "window": ("now",)}, shown, kind="gauge")
    yield Family(used, {**by_tenant, "limit": ("money",), "window": ("day",)}, shown, kind="gauge")
    yield Family(used, {**by_tenant, "limit": ("money",), "window": ("month",)}, DAY + shown, 2 * SCRAPE_S)


def _bounds(name: str) -> list[str]:
    return [f"{bound:g}" for bound in BOUNDS[name]] + ["+Inf"]


def write(file: Path, wanted: Sequence[Family], end: int) -> int:
    """Write the families with samples up to `end` (seconds since 1970). Returns the number of samples."""
    samples = 0
    with file.open("w") as stream:
        for family in wanted:
            samples += _write(stream, family, end)
        stream.write("# EOF\n")
    return samples


def _write(stream: TextIO, family: Family, end: int) -> int:
    moments = range(end - family.seconds, end + 1, family.step)
    shapes = [_samples(family.kind, shape, moments) for shape in range(min(SHAPES, family.series))]
    for number, values in enumerate(itertools.product(*family.labels.values())):
        labels = ",".join(f'{name}="{value}"' for name, value in zip(family.labels, values, strict=True))
        series = f"{family.name}{{{labels}}}"
        stream.write(series + series.join(shapes[number % len(shapes)]))
    return family.series * len(moments)


def _samples(kind: Kind, shape: int, moments: range) -> list[str]:
    """Counters that grow unevenly; gauges between 0 and 1."""
    lines, value = [], 0.0
    for number, moment in enumerate(moments):
        value = value + (number * (shape + 3)) % 7 if kind == "counter" else ((number + shape * 13) % 97) / 97
        lines.append(f" {value:g} {moment}\n")
    return lines
