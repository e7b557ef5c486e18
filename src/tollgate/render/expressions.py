"""Parts of PromQL that dashboards and rules share."""

from __future__ import annotations

# Requests of clients to models. LiteLLM also counts scrapes and admin calls, which no client sees.
ROUTES = "/(v1/)?(chat/completions|completions|embeddings|responses|messages)"
# The team, and the key, under which LiteLLM counts its own health checks.
HEALTH_CHECKS = "litellm-internal-health-check"
CLIENTS = f'team_alias!="{HEALTH_CHECKS}"'
# LiteLLM writes None if a request failed without an HTTP status. 4xx are the client's mistakes: wrong key, over budget.
SERVER_ERRORS = "5..|None"

# Names of recorded series (config/prometheus/rules/recorded.yml.j2), with LiteLLM's metrics.
RECORDED_HISTOGRAMS = (
    ("latency", "litellm_request_total_latency_metric"),
    ("first_token", "litellm_llm_api_time_to_first_token_metric"),
)
# The labels that stay, the name, the histogram of the gateway processes.
RECORDED_OF_GATEWAYS = (
    (("route", "le"), "first_byte", "tollgate_gateway_first_byte_seconds"),
    (("model", "le"), "first_byte", "tollgate_gateway_first_byte_seconds"),
    (("route", "le"), "whole", "tollgate_gateway_whole_seconds"),
    (("target", "le"), "target_first_byte", "tollgate_gateway_target_first_byte_seconds"),
    (("le",), "own", "tollgate_gateway_own_seconds"),
)
RECORDED_TOKENS = ("input", "output", "input_cached")
LITELLM_REQUESTS = "replica:litellm_requests:rate5m"
LITELLM_SPEND = "team:litellm_spend_usd:added1m"
SPEND = "tenant:tollgate_spend_usd:max"

# The objectives (config/prometheus/rules/objectives.yml.j2): long and short windows of the burn alerts, the bound in
# seconds above which a first byte is late, and the shares that may fail or be late.
BURN_WINDOWS = ("5m", "30m", "1h", "6h")
LATE_S = "0.1"
MAY_FAIL, MAY_BE_LATE = 0.001, 0.01


def share(part: str, whole: str) -> str:
    """`part` of `whole`; no value while there is nothing. Without the comparison it would be NaN."""
    return f"{part} / ({whole} > 0)"


def or_zero(expr: str) -> str:
    return f"(({expr}) or vector(0))"


def or_litellm(expr: str, litellm: str) -> str:
    """`expr`, or LiteLLM's figure while no gateway process is there: it would count a handed-over request twice."""
    return f"({expr}) or ({litellm} unless on () tollgate_gateway_running)"


def grown(series: str) -> str:
    """By how much series that never fall have grown over the dashboard's time range. `increase` would estimate."""
    return f"max_over_time({series}[$__range]) - min_over_time({series}[$__range])"


def since_zero(counter: str, labels: str = "") -> str:
    """The events in the time range of counters that begin at zero with their process. `labels` stay."""
    return f"sum{f' by ({labels})' if labels else ''} (increase({counter}[$__range]))"
