"""The panels of the gateway processes and their direct route: `direct()`, or its three parts."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.panels import ALL_OF_THEM, QUANTILES, RED_FROM_ONE, Panel, Query, now_only, series, stat


def direct() -> Sequence[Panel]:
    """The gateway processes. Empty while GATEWAYS is 0."""
    return (*direct_now(), *direct_traffic(), running())


def direct_now() -> Sequence[Panel]:
    """Their state, as numbers."""
    return (
        stat(
            "Gateway processes up",
            "Share of gateway processes that answer Prometheus. No data: GATEWAYS is 0, and LiteLLM serves everything.",
            [now_only('avg(up{job="gateway"})', "up")],
            unit="percentunit",
            steps=ALL_OF_THEM,
            width=3,
        ),
        stat(
            "Gateway processes run for",
            "Time since each gateway process started.",
            [now_only('time() - max by (gateway) (process_start_time_seconds{job="gateway"})', "{{gateway}}")],
            unit="s",
            width=5,
        ),
        stat(
            "Spend, direct route",
            "US dollars over the time range for requests that a gateway process served itself. The ledger, on the "
            "overview, has both routes exactly.",
            [now_only("sum(increase(tollgate_gateway_cost_usd_total[$__range]))", "spend")],
            unit="currencyUSD",
            width=3,
        ),
        stat(
            "Converter failures",
            "Requests over the time range that LiteLLM had to answer because our converter failed, and streams that "
            "broke off because of it. Each is a fault of this kit.",
            [now_only("sum(increase(tollgate_gateway_converter_failures_total[$__range]))", "failures")],
            unit="none",
            steps=RED_FROM_ONE,
            width=3,
        ),
        stat(
            "Calls not in Postgres yet",
            "Answered calls that wait in the journals, and calls that Postgres refuses for their data.",
            [
                now_only("sum(tollgate_gateway_journal_waiting_calls)", "waiting"),
                now_only("sum(tollgate_gateway_journal_set_aside_calls)", "set aside"),
            ],
            unit="none",
        ),
        stat(
            "Journal lag",
            "Age of the oldest call that could not be brought to Postgres. 0 while all is well.",
            [now_only("max(tollgate_gateway_journal_lag_seconds)", "lag")],
            unit="s",
            steps=((None, "green"), (30, "orange"), (120, "red")),
            width=3,
        ),
        stat(
            "Counting alone",
            "Gateway processes that count limits alone, because Redis is away.",
            [now_only("sum(tollgate_gateway_redis_away)", "alone")],
            unit="none",
            steps=RED_FROM_ONE,
            width=3,
        ),
    )


def running() -> Panel:
    """Their load."""
    return series(
        "Requests that run now",
        "Requests that run in each gateway process, streams included.",
        [Query("sum by (gateway) (tollgate_gateway_running)", "{{gateway}}")],
        unit="none",
        width=8,
        stacked=True,
    )


def direct_traffic() -> Sequence[Panel]:
    """Their traffic over time."""
    return (*_requests(), *_speed(), *_cost())


def _rate(metric: str, label: str) -> Sequence[Query]:
    expr = f"sum by ({label}) (rate(tollgate_gateway_{metric}[$__rate_interval]))"
    return [Query(expr, f"{{{{{label}}}}}")]


def _quantiles(histogram: str) -> Sequence[Query]:
    rates = f'route_le:tollgate_{histogram}:rate5m{{route="direct"}}'
    return [Query(f"histogram_quantile({q}, {rates})", name) for q, name in QUANTILES]


def _requests() -> Sequence[Panel]:
    return (
        series(
            "Gateway processes: requests by route",
            "Requests a second by route: direct, tokens that a provider counted (count), handed to LiteLLM (litellm), "
            "or our own answers (own).",
            _rate("requests_total", "route"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Gateway processes: requests by status",
            "Requests a second by status, on every route. `left` means that the client left before the end.",
            _rate("requests_total", "status"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Handed to LiteLLM",
            "Requests a second that LiteLLM answers, by reason. docs/architecture.md explains the words.",
            _rate("handovers_total", "reason"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
    )


def _speed() -> Sequence[Panel]:
    return (
        series(
            "Direct route: time to first byte",
            "Time from request to the first byte of the answer: half, 95 % and 99 % of requests were faster.",
            _quantiles("first_byte"),
            unit="s",
            width=8,
        ),
        series(
            "Direct route: whole time",
            "Time from request to its end, streams and failures included: half, 95 % and 99 % of requests were faster.",
            _quantiles("whole"),
            unit="s",
            width=8,
        ),
        series(
            "Gateway processes: refusals",
            "Refused requests a second by code. docs/refusals.md explains the codes.",
            _rate("refusals_total", "code"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
    )


def _cost() -> Sequence[Panel]:
    return (
        series(
            "Direct route: failed targets",
            "Calls a second that a target failed, by target. Another target or a fallback may have answered.",
            _rate("target_failures_total", "target"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: tokens",
            "Tokens a second by kind.",
            _rate("tokens_total", "kind"),
            unit="cps",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: spend an hour by model",
            "US dollars an hour at the current rate, by the model that answered.",
            [Query("sum by (model) (rate(tollgate_gateway_cost_usd_total[$__rate_interval])) * 3600", "{{model}}")],
            unit="currencyUSD",
            width=8,
            stacked=True,
        ),
    )
