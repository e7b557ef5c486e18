"""The panels of models and providers: errors and time to first byte by target, hand-overs, cool-downs, cached share."""

from __future__ import annotations

from collections.abc import Sequence

from tollgate.render.direct_panels import direct_traffic
from tollgate.render.expressions import CLIENTS, since_zero
from tollgate.render.panels import RED_FROM_ONE, Panel, Query, bars, now_only, series, stat

CALLS = "tollgate_gateway_target_calls_total"
CHOSEN = 'target=~"$target"'
FAILURES = f"tollgate_gateway_target_failures_total{{{CHOSEN}}}"
ASKED = 'model=~"$model"'


def model_panels() -> Sequence[Panel]:
    return (*_now(), *_targets(), *direct_traffic(), *_models(), *_litellm())


def _now() -> Sequence[Panel]:
    read = 'tollgate_gateway_tokens_total{kind=~"input|cache_read|cache_write"}'
    return (
        stat(
            "Targets that rest",
            "Targets that a gateway process leaves out for a moment, because they failed too often.",
            [now_only("sum(max by (target) (tollgate_gateway_target_resting))", "resting")],
            unit="none",
            steps=RED_FROM_ONE,
            width=6,
        ),
        stat(
            "Failed calls of targets",
            "Calls over the time range that a target failed. Another target or a fallback may have answered.",
            [now_only(since_zero(f'{CALLS}{{outcome="failed",{CHOSEN}}}'), "failed")],
            unit="none",
            width=6,
        ),
        stat(
            "LiteLLM's cool-downs",
            "Times over the time range that LiteLLM left a deployment out, because it failed too often.",
            [now_only("sum(increase(litellm_deployment_cooled_down_total[$__range])) or vector(0)", "cool-downs")],
            unit="none",
            width=6,
        ),
        stat(
            "Input from caches",
            "Share of the input tokens of the direct route that providers read from their caches, which is cheaper.",
            [
                now_only(
                    'sum(increase(tollgate_gateway_tokens_total{kind="cache_read"}[$__range])) '
                    f"/ (sum(increase({read}[$__range])) > 0) or vector(0)",
                    "cached",
                )
            ],
            unit="percentunit",
            width=6,
        ),
    )


def _targets() -> Sequence[Panel]:
    first = f"target_le:tollgate_target_first_byte:rate5m{{{CHOSEN}}}"
    return (
        series(
            "Errors by target",
            "Share of a target's calls that failed.",
            [
                Query(
                    f'sum by (target) (rate({CALLS}{{outcome="failed",{CHOSEN}}}[$__rate_interval])) '
                    f"/ (sum by (target) (rate({CALLS}{{{CHOSEN}}}[$__rate_interval])) > 0)",
                    "{{target}}",
                )
            ],
            unit="percentunit",
        ),
        series(
            "Kinds of errors",
            "Failed calls a second by target and kind: its status, connect, timeout, broken …",
            [
                Query(f"sum by (target, kind) (rate({FAILURES}[$__rate_interval]))", "{{target}} {{kind}}"),
            ],
            unit="reqps",
            stacked=True,
        ),
        series(
            "Time to first byte by target",
            "95 % of a target's answers began sooner. Only the target's own time.",
            [Query(f"histogram_quantile(0.95, sum by (target, le) ({first}))", "{{target}}")],
            unit="s",
        ),
        series(
            "Cool-downs by target",
            "Number of gateway processes that leave the target out at this moment.",
            [Query(f"sum by (target) (tollgate_gateway_target_resting{{{CHOSEN}}})", "{{target}}")],
            unit="none",
        ),
    )


def _models() -> Sequence[Panel]:
    first = f"model_le:tollgate_first_byte:rate5m{{{ASKED}}}"
    read = 'tollgate_gateway_tokens_total{kind="cache_read",' + ASKED + "}"
    all_read = 'tollgate_gateway_tokens_total{kind=~"input|cache_read|cache_write",' + ASKED + "}"
    cut, cost = (f"tollgate_gateway_{name}_total{{{ASKED}}}" for name in ("cut_answers", "cost_usd"))
    return (
        series(
            "Requests by model",
            "Requests a second by the model that was asked for, on both routes.",
            [
                Query(
                    f"sum by (model) (rate(tollgate_gateway_requests_total{{{ASKED}}}[$__rate_interval]))", "{{model}}"
                )
            ],
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "Time to first byte by model",
            "95 % of a model's answers began sooner, on both routes.",
            [Query(f"histogram_quantile(0.95, sum by (model, le) ({first}))", "{{model}}")],
            unit="s",
            width=8,
        ),
        series(
            "Cached share by model",
            "Share of a model's input tokens that its provider read from its cache. Direct route.",
            [
                Query(
                    f"sum by (model) (rate({read}[$__rate_interval])) "
                    f"/ (sum by (model) (rate({all_read}[$__rate_interval])) > 0)",
                    "{{model}}",
                )
            ],
            unit="percentunit",
            width=8,
        ),
        series(
            "Fallbacks",
            "Answers a second of another model than the one that was asked for.",
            [
                Query(
                    "sum by (model, fallback) (rate(tollgate_gateway_fallbacks_total[$__rate_interval]))",
                    "{{model}} → {{fallback}}",
                )
            ],
            unit="reqps",
            width=8,
        ),
        series(
            "Answers that broke off",
            "Streams a second that ended with an error after they had begun, by model.",
            [
                Query(f"sum by (model) (rate({cut}[$__rate_interval]))", "{{model}}"),
            ],
            unit="reqps",
            width=8,
        ),
        bars(
            "Spend by model, direct route",
            "US dollars over the time range by the model that answered.",
            [now_only(f"{since_zero(cost, 'model')} > 0", "{{model}}")],
            unit="currencyUSD",
            width=8,
        ),
    )


def _litellm() -> Sequence[Panel]:
    state = "max by (litellm_model_name) (litellm_deployment_state)"
    return (
        series(
            "LiteLLM: failures by provider",
            "Failed calls a second of LiteLLM's route, by provider and class of the error.",
            [
                Query(
                    "sum by (api_provider, exception_class) (provider:litellm_failures:rate5m)",
                    "{{api_provider}} {{exception_class}}",
                )
            ],
            unit="reqps",
            width=8,
            stacked=True,
        ),
        series(
            "LiteLLM: state of deployments",
            "As its last call left it: 0 well, 1 partly failing, 2 failing.",
            [Query(state, "{{litellm_model_name}}")],
            unit="none",
            width=8,
        ),
        series(
            "LiteLLM: time that it adds",
            "Half and 95 % of the requests spent less time in LiteLLM itself, without the provider.",
            [
                Query(f"histogram_quantile({q}, sum by (le) (le:litellm_overhead:rate5m))", name)
                for q, name in ((0.5, "p50"), (0.95, "p95"))
            ],
            unit="s",
            width=8,
        ),
        series(
            "LiteLLM: fallbacks",
            "Answers a second of another model than the one that was asked for, on LiteLLM's route.",
            [
                Query(
                    "sum by (requested_model, fallback_model) (rate(litellm_deployment_successful_fallbacks_total"
                    f"{{{CLIENTS}}}[$__rate_interval]))",
                    "{{requested_model}} → {{fallback_model}}",
                )
            ],
            unit="reqps",
            width=8,
        ),
        series(
            "LiteLLM: tokens by model",
            "Input and output tokens a second of LiteLLM's route.",
            [
                Query("sum by (requested_model) (model:litellm_input_tokens:rate5m)", "{{requested_model}} input"),
                Query("sum by (requested_model) (model:litellm_output_tokens:rate5m)", "{{requested_model}} output"),
            ],
            unit="cps",
            width=8,
        ),
        series(
            "LiteLLM: cached share by model",
            "Share of a model's input tokens that its provider read from its cache. LiteLLM's route.",
            [
                Query(
                    "sum by (requested_model) (model:litellm_input_cached_tokens:rate5m) "
                    "/ (sum by (requested_model) (model:litellm_input_tokens:rate5m) > 0)",
                    "{{requested_model}}",
                )
            ],
            unit="percentunit",
            width=8,
        ),
    )
