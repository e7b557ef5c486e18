"""The panels of the gateway processes and their direct route: `direct()`, or its two halves."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.panels import ALL_OF_THEM, RED_FROM_ONE, Panel, Query, now_only, series, stat


def direct() -> Sequence[Panel]:
    """The gateway processes. Empty while GATEWAYS is 0."""
    return (*direct_now(), *direct_traffic())


def direct_now() -> Sequence[Panel]:
    """Their state, as numbers."""
    return (
        stat(
            "Gateway processes up",
            "Share of gateway processes that answer Prometheus. No data: GATEWAYS is 0, and LiteLLM serves everything.",
            [now_only('avg(up{job="gateway"})', "up")],
            unit="percentunit",
            steps=ALL_OF_THEM,
        ),
        stat(
            "Spend, direct route",
            "US dollars over the time range for requests that a gateway process served itself. The ledger, on the "
            "overview, has both routes exactly.",
            [now_only("sum(increase(tollgate_gateway_cost_usd_total[$__range]))", "spend")],
            unit="currencyUSD",
        ),
        stat(
            "Converter failures",
            "Requests over the time range that LiteLLM had to answer because our converter failed, and streams that "
            "broke off for it. Each is a fault of this kit.",
            [now_only("sum(increase(tollgate_gateway_converter_failures_total[$__range]))", "failures")],
            unit="none",
            steps=RED_FROM_ONE,
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
            steps=RED_FROM_ONE,
        ),
    )


def direct_traffic() -> Sequence[Panel]:
    """Their traffic over time."""

    def rate(metric: str, label: str) -> Sequence[Query]:
        expr = f"sum by ({label}) (rate(tollgate_gateway_{metric}[$__rate_interval]))"
        return [Query(expr, f"{{{{{label}}}}}")]

    first = 'rate(tollgate_gateway_first_byte_seconds_bucket{route="direct"}[$__rate_interval])'
    ends = [(0.5, "p50"), (0.95, "p95")]
    return (
        series(
            "Gateway processes: requests by route",
            "Requests a second by the route that answered: direct, or handed to LiteLLM.",
            rate("requests_total", "route"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: time to first byte",
            "Time from request to the first byte of the answer: half and 95 % of requests were faster.",
            [Query(f"histogram_quantile({q}, sum by (le) ({first}))", name) for q, name in ends],
            unit="s",
            width=8,
        ),
        series(
            "Handed to LiteLLM",
            "Requests a second that LiteLLM answers, by reason. docs/architecture.md explains the words.",
            rate("handovers_total", "reason"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Gateway processes: refusals",
            "Refused requests a second by code. docs/refusals.md explains the codes.",
            rate("refusals_total", "code"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: failed targets",
            "Calls a second that a target failed, by target. Another target or a fallback may have answered.",
            rate("target_failures_total", "target"),
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Direct route: tokens",
            "Tokens a second by kind.",
            rate("tokens_total", "kind"),
            unit="cps",
            width=8,
            stacked=True,
        ),
    )
