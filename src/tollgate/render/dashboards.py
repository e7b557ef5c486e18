"""The Grafana dashboards: every file of grafana/dashboards, as text.

They are committed, because Grafana reads them from the checkout; a golden test fails when they and this module
differ. The metrics they may use, with their labels: tests/fixtures/metrics. The page /console shows the same panels
(render/console.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.direct_panels import direct
from tollgate.render.host_panels import host
from tollgate.render.panels import (
    QUANTILES,
    RED_BELOW_ONE,
    Panel,
    Query,
    bars,
    choice,
    dashboard,
    logs,
    now_only,
    series,
    stat,
)

# Requests of clients to models. LiteLLM also counts scrapes and admin calls, which no client sees.
ROUTES = "/(v1/)?(chat/completions|completions|embeddings|responses|messages)"
# LiteLLM writes None if a request failed without an HTTP status. 4xx are the client's mistakes: wrong key, over budget.
SERVER_ERRORS = "5..|None"

CHOSEN = 'team_alias=~"$team",requested_model=~"$model",replica=~"$replica"'
REQUESTS = f'litellm_proxy_total_requests_metric_total{{route=~"{ROUTES}",{CHOSEN}}}'
FAILED = f'litellm_proxy_total_requests_metric_total{{route=~"{ROUTES}",status_code=~"{SERVER_ERRORS}",{CHOSEN}}}'
SPEND = f"litellm_spend_metric_total{{{CHOSEN}}}"
CHOICES = (
    choice("team", "Team", "label_values(litellm_proxy_total_requests_metric_total, team_alias)"),
    choice("model", "Model", "label_values(litellm_proxy_total_requests_metric_total, requested_model)"),
    # Not ".*": Loki refuses a query whose every matcher accepts the empty string.
    choice("replica", "Replica", 'label_values(up{job="litellm"}, replica)', everything="litellm-.+"),
)


def dashboards() -> dict[str, str]:
    """File name below grafana/dashboards -> JSON text."""
    return {"overview.json": overview()}


def overview() -> str:
    """Is it up, is it fast, who spends what: one page."""
    description = "Is the gateway up, is it fast, who spends what."
    return dashboard("tollgate-overview", "Overview", description, CHOICES, panels())


def panels() -> Sequence[Panel]:
    """Every panel of the overview, in its order. Grafana and the page /console show these."""
    return (*_now(), *_traffic(), *_speed(), *_money(), *direct(), *host(), _errors())


def _now() -> Sequence[Panel]:
    disk = 'fstype!~"tmpfs|ramfs|squashfs"'
    return (
        stat(
            "Replicas up",
            "Replicas that answer Prometheus.",
            [now_only('sum(up{job="litellm"})', "up"), now_only('count(up{job="litellm"})', "configured")],
            unit="none",
            steps=((None, "red"), (2, "green")),
        ),
        stat(
            "Services answering",
            "Whether Postgres, Redis and nginx answer their exporters, and the exporters answer Prometheus.",
            [
                now_only('pg_up or up{job="postgres"}', "Postgres"),
                now_only('redis_up or up{job="redis"}', "Redis"),
                now_only('nginx_up or up{job="nginx"}', "nginx"),
            ],
            unit="bool_yes_no",
            steps=RED_BELOW_ONE,
        ),
        stat(
            "Alerts firing",
            "Alerts that fire now, without Watchdog, which always fires. Prometheus lists them.",
            [now_only('count(ALERTS{alertstate="firing",alertname!="Watchdog"}) or vector(0)', "firing")],
            unit="none",
            steps=((None, "green"), (1, "red")),
        ),
        stat(
            "Server errors",
            "Share of model requests that failed in the gateway or at the provider (5xx, or no status).",
            [
                now_only(
                    f"(sum(rate({FAILED}[$__rate_interval])) or vector(0)) / sum(rate({REQUESTS}[$__rate_interval]))",
                    "failed",
                )
            ],
            unit="percentunit",
            steps=((None, "green"), (0.01, "orange"), (0.05, "red")),
        ),
        stat(
            "Spend",
            "US dollars over the time range. The counters start from zero with each replica; the ledger in Postgres "
            "is exact.",
            [now_only(f"sum(increase({SPEND}[$__range]))", "spend")],
            unit="currencyUSD",
        ),
        stat(
            "Fullest disk",
            "Used share of the fullest file system of the host. Logs are limited by age, not by size.",
            [
                now_only(
                    f"max(1 - node_filesystem_avail_bytes{{{disk}}} / node_filesystem_size_bytes{{{disk}}})", "used"
                )
            ],
            unit="percentunit",
            steps=((None, "green"), (0.8, "orange"), (0.9, "red")),
        ),
    )


def _traffic() -> Sequence[Panel]:
    return (
        series(
            "Requests by status",
            "Model requests a second by HTTP status, as LiteLLM counts them, without requests that nginx refused.",
            [Query(f"sum by (status_code) (rate({REQUESTS}[$__rate_interval]))", "{{status_code}}")],
            unit="reqps",
            stacked=True,
        ),
        series(
            "Requests by replica",
            "Model requests a second by replica. nginx should keep them close to each other.",
            [Query(f"sum by (replica) (rate({REQUESTS}[$__rate_interval]))", "{{replica}}")],
            unit="reqps",
            stacked=True,
        ),
    )


def _speed() -> Sequence[Panel]:
    return (
        series(
            "Latency",
            "Time from request to the end of the answer, with streams: half, 95 % and 99 % of requests were faster.",
            _quantiles("litellm_request_total_latency_metric"),
            unit="s",
        ),
        series(
            "Time to first token",
            "For streams, time until the provider sent its first piece: half, 95 % and 99 % of streams were faster.",
            _quantiles("litellm_llm_api_time_to_first_token_metric"),
            unit="s",
        ),
    )


def _quantiles(histogram: str) -> Sequence[Query]:
    rates = f"sum by (le) (rate({histogram}_bucket{{{CHOSEN}}}[$__rate_interval]))"
    return [Query(f"histogram_quantile({q}, {rates})", name) for q, name in QUANTILES]


def _money() -> Sequence[Panel]:
    return (
        bars(
            "Spend by team",
            "US dollars over the time range, by team.",
            [now_only(f"sum by (team_alias) (increase({SPEND}[$__range]))", "{{team_alias}}")],
            unit="currencyUSD",
            width=8,
        ),
        series(
            "Spend an hour by team",
            "US dollars an hour at the current rate, by team.",
            [Query(f"sum by (team_alias) (rate({SPEND}[$__rate_interval])) * 3600", "{{team_alias}}")],
            unit="currencyUSD",
            width=8,
            stacked=True,
        ),
        series(
            "Tokens",
            "Tokens a second, in and out.",
            [
                Query(f"sum(rate(litellm_input_tokens_metric_total{{{CHOSEN}}}[$__rate_interval]))", "input"),
                Query(f"sum(rate(litellm_output_tokens_metric_total{{{CHOSEN}}}[$__rate_interval]))", "output"),
            ],
            unit="cps",
            width=8,
        ),
    )


def _errors() -> Panel:
    return logs(
        "Errors in the replicas' logs",
        "Log lines of level error and above, without credentials. Needs Loki.",
        [Query('{service_name=~"$replica"} | detected_level=~"error|critical|fatal"')],
        height=10,
    )
