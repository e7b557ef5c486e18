"""The panels of the tenants' dashboard: spend, budgets, share of limits, requests. `$tenant` is the variable."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.expressions import SPEND, grown
from tollgate.render.panels import Panel, Query, bars, logs, now_only, series, stat

CHOSEN = 'tenant=~"$tenant"'
USED = f"tollgate_tenant_limit_used_ratio{{{CHOSEN}"
NEARLY = ((None, "green"), (0.8, "orange"), (0.95, "red"))


def tenant_panels() -> Sequence[Panel]:
    every = "tollgate_tenant_limit_used_ratio"
    month = f'{USED},limit="money",window="month"}}'
    return (
        stat(
            "Spend",
            "US dollars over the time range, from the ledger, of the chosen tenants. LiteLLM's route is a minute late.",
            [now_only(f"sum({grown(f'{SPEND}{{{CHOSEN}}}')})", "spend")],
            unit="currencyUSD",
            width=6,
        ),
        stat(
            "Spend ever",
            "US dollars since the chosen tenants were created, from the ledger.",
            [now_only(f"sum({SPEND}{{{CHOSEN}}})", "spend")],
            unit="currencyUSD",
            width=6,
        ),
        stat(
            "Fullest budget",
            "Used part of the budget that is nearest its end. At 100 % requests to paid models are refused until the "
            "window ends. No data: no budget, or no request in this window.",
            [now_only(f'max({USED},limit="money"}})', "used")],
            unit="percentunit",
            steps=NEARLY,
            width=6,
        ),
        stat(
            "Fullest limit",
            "Used part of the limit on requests, tokens or parallel requests that is nearest its end.",
            [now_only(f'max({USED},limit!="money"}})', "used")],
            unit="percentunit",
            steps=NEARLY,
            width=6,
        ),
        bars(
            "Fullest budgets of all tenants",
            "Used part of the budgets that are nearest their end, of all tenants, in the running window (UTC).",
            [now_only(f'topk(15, max by (tenant, window) ({every}{{limit="money"}}))', "{{tenant}}, {{window}}")],
            unit="percentunit",
            steps=NEARLY,
            width=8,
        ),
        bars(
            "Fullest limits of all tenants",
            "Used part of the limits on requests, tokens and parallel requests that are nearest their end, of all "
            "tenants.",
            [
                now_only(
                    f'topk(15, max by (tenant, limit, window) ({every}{{limit!="money"}}))',
                    "{{tenant}}, {{limit}} {{window}}",
                )
            ],
            unit="percentunit",
            steps=NEARLY,
            width=8,
        ),
        bars(
            "Budgets",
            "US dollars that each budget of the chosen tenants allows in its window: the fifteen largest.",
            [
                now_only(
                    f"topk(15, max by (tenant, window) (tollgate_tenant_budget_usd{{{CHOSEN}}}))",
                    "{{tenant}}, {{window}}",
                )
            ],
            unit="currencyUSD",
            width=8,
        ),
        series(
            "Share of limits",
            "Used part of the limits on requests, tokens and parallel requests, read every 30 s: the fifteen fullest.",
            [
                Query(
                    f'topk(15, max by (tenant, limit, window) ({USED},limit!="money"}}))',
                    "{{tenant}}, {{limit}} {{window}}",
                )
            ],
            unit="percentunit",
        ),
        series(
            "Month's budget a week from now, at this pace",
            "Used part of the month's budget a week from now, if the tenant goes on as in the last day. The fifteen "
            "fullest.",
            [
                Query(
                    f"topk(15, max by (tenant) (predict_linear({month}[1d], 604800) > 0))",
                    "{{tenant}}",
                )
            ],
            unit="percentunit",
        ),
        series(
            "Requests by outcome",
            "Requests a second by how they ended. refused: by a limit, a budget, or for their own mistake.",
            [
                Query(
                    f"sum by (outcome) (rate(tollgate_gateway_tenant_requests_total{{{CHOSEN}}}[$__rate_interval]))",
                    "{{outcome}}",
                )
            ],
            unit="reqps",
            stacked=True,
        ),
        series(
            "Spend in an hour",
            "US dollars in the hour before each moment, by tenant: the fifteen that spent most.",
            [
                Query(
                    f"topk(15, sum by (tenant) ({SPEND}{{{CHOSEN}}} - {SPEND}{{{CHOSEN}}} offset 1h) > 0)",
                    "{{tenant}}",
                )
            ],
            unit="currencyUSD",
            stacked=True,
        ),
        logs(
            "Refused requests",
            "Refusals of the chosen tenants, with code and request id. docs/refusals.md has the codes. Needs Loki.",
            [Query('{service_name=~"gateway-.+"} | json tenant="tenant", code="code" | tenant=~"$tenant" | code!=""')],
            height=10,
        ),
    )
