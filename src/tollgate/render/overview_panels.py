"""The panels of the overview: is it up, is it fast, does it keep its objectives, what does it cost."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.expressions import (
    LITELLM_REQUESTS,
    LITELLM_SPEND,
    MAY_BE_LATE,
    MAY_FAIL,
    SERVER_ERRORS,
    SPEND,
    grown,
    or_litellm,
    or_zero,
    share,
)
from tollgate.render.host_panels import host
from tollgate.render.panels import (
    ALL_OF_THEM,
    QUANTILES,
    RED_BELOW_ONE,
    RED_FROM_ONE,
    Panel,
    Query,
    bars,
    now_only,
    series,
    stat,
)

OUTCOMES = "tollgate_gateway_outcomes_total"
FAILED = f'{OUTCOMES}{{outcome=~"gateway_failed|upstream_failed"}}'
# A refused request is no failure: nobody owes it an answer.
DESERVED = f'{OUTCOMES}{{outcome!="refused"}}'
DISK = 'fstype!~"tmpfs|ramfs|squashfs"'
# As df counts: the blocks that only root may use are no part of the disk.
DISK_USED = (
    f"max by (device) (1 - node_filesystem_avail_bytes{{{DISK}}} "
    "/ (node_filesystem_size_bytes - node_filesystem_free_bytes + node_filesystem_avail_bytes))"
)
LEFT = ((None, "red"), (0.01, "orange"), (0.25, "green"))


def overview_panels() -> Sequence[Panel]:
    return (*_now(), *_objectives(), *_traffic(), *_speed(), *_money(), *host())


def _now() -> Sequence[Panel]:
    failed = or_litellm(
        share(f"sum(rate({FAILED}[$__rate_interval]))", f"sum(rate({DESERVED}[$__rate_interval]))"),
        share(f'sum({LITELLM_REQUESTS}{{status_code=~"{SERVER_ERRORS}"}})', f"sum({LITELLM_REQUESTS})"),
    )
    watchdog = 'count(ALERTS{alertname="Watchdog",alertstate="firing"})'
    alerts = (
        f'clamp_min(sum(alertmanager_alerts{{state="active"}}) - {watchdog}, 0) '
        'or count(ALERTS{alertstate="firing",alertname!="Watchdog"}) or vector(0)'
    )
    return (
        stat(
            "Replicas up",
            "Share of LiteLLM's replicas that answer Prometheus.",
            [now_only('avg(up{job="litellm"})', "up")],
            unit="percentunit",
            steps=ALL_OF_THEM,
        ),
        stat(
            "Services answering",
            "1 if Postgres, Redis and nginx answer their exporters, and the exporters answer Prometheus.",
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
            "Alerts that Alertmanager has now, those of Loki too, without Watchdog, which always fires. While "
            "Alertmanager is away: Prometheus's own.",
            [now_only(alerts, "firing")],
            unit="none",
            steps=RED_FROM_ONE,
        ),
        stat(
            "Server errors",
            "Share of requests that failed in the gateway or at a provider, of those that deserved an answer.",
            [now_only(or_zero(failed), "failed")],
            unit="percentunit",
            steps=((None, "green"), (0.01, "orange"), (0.05, "red")),
        ),
        stat(
            "Spend",
            "US dollars over the time range, from the ledger: both routes, without LiteLLM's health checks. LiteLLM's "
            "route can be a minute late. With GATEWAYS=0: as LiteLLM counts.",
            [now_only(or_litellm(f"sum({grown(SPEND)})", f"sum(sum_over_time({LITELLM_SPEND}[$__range]))"), "spend")],
            unit="currencyUSD",
        ),
        stat(
            "Fullest disk",
            "Used share of the fullest disk of the host, as df has it. Logs are limited by age, not by size.",
            [now_only(f"max({DISK_USED})", "used")],
            unit="percentunit",
            steps=((None, "green"), (0.85, "orange"), (0.95, "red")),
        ),
    )


def _objectives() -> Sequence[Panel]:
    ended = "outcome:tollgate_outcomes:increase5m"
    failures = share(
        f'sum(sum_over_time({ended}{{outcome="gateway_failed"}}[30d]))',
        f'sum(sum_over_time({ended}{{outcome!="refused"}}[30d]))',
    )
    late = share(
        "sum(sum_over_time(tollgate:own_late:increase5m[30d]))",
        "sum(sum_over_time(tollgate:own_answers:increase5m[30d]))",
    )
    return (
        stat(
            "Failures left, of 30 days",
            "Objective: of 1,000 requests that deserve an answer, the gateway itself fails at most one. This is the "
            "rest of the failures that 30 days allow. Failures of providers do not count.",
            [now_only(f"1 - ({failures}) / {MAY_FAIL}", "left")],
            unit="percentunit",
            steps=LEFT,
            width=6,
        ),
        stat(
            "Late first bytes left, of 30 days",
            "Objective: of 100 first bytes, at most one is later than 100 ms because of a gateway process. The time of "
            "providers and of LiteLLM does not count.",
            [now_only(f"1 - ({late}) / {MAY_BE_LATE}", "left")],
            unit="percentunit",
            steps=LEFT,
            width=6,
        ),
        series(
            "How fast the objectives are used up",
            "1 uses up exactly what 30 days allow. The alerts page at 14.4 and write a ticket at 6.",
            [
                Query(f"tollgate:own_failures:ratio_rate1h / {MAY_FAIL}", "failures"),
                Query(f"tollgate:own_late:ratio_rate1h / {MAY_BE_LATE}", "late first bytes"),
            ],
            unit="none",
            width=12,
            height=5,
        ),
    )


def _traffic() -> Sequence[Panel]:
    ended = f"sum by (outcome) (rate({OUTCOMES}[$__rate_interval]))"
    return (
        series(
            "Requests by outcome",
            "Requests for models a second, by how they ended. upstream_failed: a provider failed. gateway_failed: we "
            "did. Without requests that nginx answered itself. With GATEWAYS=0: by LiteLLM's status.",
            [Query(or_litellm(ended, f"sum by (status_code) ({LITELLM_REQUESTS})"), "{{outcome}}{{status_code}}")],
            unit="reqps",
            stacked=True,
        ),
        series(
            "What nginx answered, by status",
            "Answers a second by status, as clients saw them. Needs Alloy, which counts nginx's lines.",
            [Query("sum by (status) (rate(gateway_http_requests_total[$__rate_interval]))", "{{status}}")],
            unit="reqps",
            stacked=True,
        ),
    )


def _speed() -> Sequence[Panel]:
    return (
        series(
            "Latency",
            "Time to the end of a request, streams and failures included. With GATEWAYS=0: successful ones of LiteLLM.",
            _quantiles("route_le:tollgate_whole:rate5m", "le:litellm_latency:rate5m"),
            unit="s",
            width=8,
        ),
        series(
            "Time to first byte",
            "Half, 95 % and 99 % of the answers began sooner. With GATEWAYS=0: streams of LiteLLM.",
            _quantiles("route_le:tollgate_first_byte:rate5m", "le:litellm_first_token:rate5m"),
            unit="s",
            width=8,
        ),
        series(
            "Own part of the time to first byte",
            "The time that a gateway process took itself, without waiting for providers and LiteLLM. The objective: "
            "99 % below 100 ms.",
            [
                Query(f"histogram_quantile({q}, le:tollgate_own:rate5m)", name)
                for q, name in ((0.5, "p50"), (0.99, "p99"))
            ],
            unit="s",
            width=8,
        ),
    )


def _quantiles(recorded: str, litellm: str) -> Sequence[Query]:
    rates = or_litellm(f"sum by (le) ({recorded})", f"sum by (le) ({litellm})")
    return [Query(f"histogram_quantile({q}, {rates})", name) for q, name in QUANTILES]


def _money() -> Sequence[Panel]:
    by_tenant = f"topk(15, sum by (tenant) ({grown(SPEND)}) > 0)"
    by_team = f"topk(15, sum by (team_alias) (sum_over_time({LITELLM_SPEND}[$__range])) > 0)"
    return (
        bars(
            "Spend by tenant",
            "US dollars over the time range: the fifteen tenants that spent most, from the ledger.",
            [now_only(or_litellm(by_tenant, by_team), "{{tenant}}{{team_alias}}")],
            unit="currencyUSD",
            width=8,
        ),
        series(
            "Spend in an hour",
            "US dollars that all tenants together spent in the hour before.",
            [
                Query(or_litellm("tollgate:spend_usd:hour", f"sum(sum_over_time({LITELLM_SPEND}[1h]))"), "spend"),
            ],
            unit="currencyUSD",
            width=8,
        ),
        series(
            "Tokens",
            "Tokens a second on both routes, in and out. Input that a cache had counts as input too.",
            [
                Query(
                    or_zero('sum(rate(tollgate_gateway_tokens_total{kind!="output"}[$__rate_interval]))')
                    + f" + {or_zero('sum(model:litellm_input_tokens:rate5m)')}",
                    "input",
                ),
                Query(
                    or_zero('sum(rate(tollgate_gateway_tokens_total{kind="output"}[$__rate_interval]))')
                    + f" + {or_zero('sum(model:litellm_output_tokens:rate5m)')}",
                    "output",
                ),
            ],
            unit="cps",
            width=8,
        ),
    )
