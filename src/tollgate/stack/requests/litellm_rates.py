"""Rates of the replicas over the last minute, from Prometheus. They count what LiteLLM serves, not the direct route."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import httpx

from tollgate.errors import TollgateError
from tollgate.render.expressions import ROUTES
from tollgate.stack.requests.live import Row

# Requests of clients to models: LiteLLM also counts scrapes and administration.
_REQUESTS = f'litellm_proxy_total_requests_metric_total{{route=~"{ROUTES}"'
# The field of a Row, and the expression. Prometheus scrapes every 15 s, so a rate needs a minute.
_RATES = {
    "requests_s": f"sum by ({{by}}) (rate({_REQUESTS}}}[1m]))",
    "errors_s": f'sum by ({{by}}) (rate({_REQUESTS},status_code=~"[45]..|None"}}[1m]))',
    "tokens_s": "sum by ({by}) (rate(litellm_total_tokens_metric_total[1m]))",
    "usd_h": "sum by ({by}) (rate(litellm_spend_metric_total[1m])) * 3600",
    "first_byte_p95_ms": (
        "histogram_quantile(0.95, "
        "sum by ({by}, le) (rate(litellm_llm_api_time_to_first_token_metric_bucket[1m]))) * 1000"
    ),
}
TENANT, MODEL, REPLICA = "team", "requested_model", "replica"
SECONDS = 5.0

Rows = dict[str, Row]


def rates(prometheus: str) -> dict[str, Rows]:
    """By TENANT, MODEL and REPLICA, from the Prometheus at this address. TollgateError if it does not answer."""
    with httpx.Client(base_url=prometheus, timeout=SECONDS, trust_env=False) as client:
        by_kind = {by: _rows(client, by) for by in (TENANT, MODEL, REPLICA)}
        for name in _ask(client, 'up{job="litellm"}', REPLICA):
            by_kind[REPLICA].setdefault(name, Row(name))
    return by_kind


def expressions(by: str) -> Mapping[str, str]:
    """The questions to Prometheus, by field of a Row."""
    return {field: expression.replace("{by}", by) for field, expression in _RATES.items()}


def _rows(client: httpx.Client, by: str) -> Rows:
    fields: dict[str, dict[str, Any]] = {}
    for field, expression in expressions(by).items():
        for name, value in _ask(client, expression, by).items():
            if math.isfinite(value) and name:
                fields.setdefault(name, {})[field] = round(value) if field == "first_byte_p95_ms" else value
    return {name: Row(name, **values) for name, values in fields.items()}


def _ask(client: httpx.Client, expression: str, by: str) -> dict[str, float]:
    try:
        answer = client.get("/api/v1/query", params={"query": expression})
        answer.raise_for_status()
        series = answer.json()["data"]["result"]
        return {str(entry["metric"].get(by, "")): float(entry["value"][1]) for entry in series}
    except (httpx.HTTPError, ValueError, KeyError, TypeError, IndexError) as error:
        reason = f"Prometheus does not answer ({type(error).__name__})"
        raise TollgateError(reason, "`make status` shows whether it runs") from None
