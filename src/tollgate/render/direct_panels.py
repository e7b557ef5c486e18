"""The panels of the gateway processes and their direct route, a part of the overview."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.panels import QUANTILES, RED_BELOW_ONE, Panel, Query, now_only, series, stat


def direct() -> Sequence[Panel]:
    """The gateway processes. Empty while GATEWAYS is 0."""

    return (*_processes(), *_requests(), *_cost())


def _processes() -> Sequence[Panel]:
    return (
        stat(
            "Gateway processes up",
            "Gateway processes that answer Prometheus. No data: GATEWAYS is 0, and LiteLLM serves everything.",
            [now_only('sum(up{job="gateway"})', "up"), now_only('count(up{job="gateway"})', "configured")],
            unit="none",
            steps=RED_BELOW_ONE,
        ),
        stat(
            "Gateway processes run for",
            "Time since each gateway process started.",
            [now_only("time() - max by (gateway) (tollgate_gateway_start_time_seconds)", "{{gateway}}")],
            unit="s",
        ),
        stat(
            "Spend, direct route",
            "US dollars over the time range for requests that a gateway process served itself. The spend above is "
            "LiteLLM's route. The ledger in Postgres has both.",
            [now_only("sum(increase(tollgate_gateway_cost_usd_total[$__range]))", "spend")],
            unit="currencyUSD",
        ),
        stat(
            "Converter failures",
            "Requests over the time range that LiteLLM had to answer because our converter failed, and streams that "
            "broke off for it. Each is a fault of this kit.",
            [now_only("sum(increase(tollgate_gateway_converter_failures_total[$__range]))", "failures")],
            unit="none",
            steps=((None, "green"), (1, "red")),
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
        ),
        stat(
            "Counting alone",
            "Gateway processes that count limits alone, because Redis is away.",
            [now_only("sum(tollgate_gateway_redis_away)", "alone")],
            unit="none",
            steps=((None, "green"), (1, "red")),
        ),
    )


def _rate(metric: str, label: str) -> Sequence[Query]:
    expr = f"sum by ({label}) (rate(tollgate_gateway_{metric}[$__rate_interval]))"
    return [Query(expr, f"{{{{{label}}}}}")]


def _quantiles(histogram: str) -> Sequence[Query]:
    rates = f'sum by (le) (rate(tollgate_gateway_{histogram}_bucket{{route="direct"}}[$__rate_interval]))'
    return [Query(f"histogram_quantile({q}, {rates})", name) for q, name in QUANTILES]


def _requests() -> Sequence[Panel]:
    return (
        series(
            "Gateway processes: requests by route",
            "Requests a second by the route that answered: direct, or handed to LiteLLM.",
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
            "Gateway processes: requests that run",
            "Requests that run now, by process. nginx sends a request to the process with the fewest connections.",
            [Query("sum by (gateway) (tollgate_gateway_running)", "{{gateway}}")],
            unit="none",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: time to first byte",
            "Time from request to the first byte of the answer: half, 95 % and 99 % of requests were faster.",
            _quantiles("first_byte_seconds"),
            unit="s",
            width=8,
        ),
        series(
            "Direct route: whole time",
            "Time from request to the end of the answer, with streams: half, 95 % and 99 % of requests were faster.",
            _quantiles("whole_seconds"),
            unit="s",
            width=8,
        ),
        series(
            "Handed to LiteLLM",
            "Requests a second that LiteLLM answers, by reason. docs/architecture.md explains the words.",
            _rate("handovers_total", "reason"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Gateway processes: refusals",
            "Refused requests a second by code. docs/refusals.md explains the codes.",
            _rate("refusals_total", "code"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: failed targets",
            "Calls a second that a target failed, by target. Another target or a fallback may have answered.",
            _rate("target_failures_total", "target"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
    )


def _cost() -> Sequence[Panel]:
    return (
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
