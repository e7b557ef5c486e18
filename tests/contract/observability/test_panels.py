"""Panels show the right value for known series: promtool evaluates their expressions, with the recording rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.observability.conftest import Tool
from tests.support.panels import filled
from tollgate.render.dashboards import dashboards

pytestmark = pytest.mark.docker

# When panels are asked, after the tests' beginning.
MINUTES = 85
RUNNING = {"tollgate_gateway_running": "1x90"}
OUTCOME = "tollgate_gateway_outcomes_total"
LITELLM = 'litellm_spend_metric_total{replica="litellm-1",team_alias="%s"}'
# A tenant that spends before, and one that is new and spends for the first time in the range.
LEDGER = {
    'tollgate_tenant_spend_usd_total{tenant="old"}': "100x70 101x20",
    'tollgate_tenant_spend_usd_total{tenant="new"}': "_x30 0x10 0.25x40",
}


def expression(dashboard: str, title: str, query: int = 0) -> str:
    """As Grafana sends it, for a range of an hour."""
    [panel] = [panel for panel in json.loads(dashboards()[dashboard])["panels"] if panel["title"] == title]
    return filled(panel["targets"][query]["expr"])


def evaluate(promtool: Tool, three: Path, series: dict[str, str], asked: str, samples: dict[str, float]) -> str:
    """Empty if `asked` gives exactly `samples` (labels -> value) after MINUTES; otherwise what promtool says."""
    expected = [{"labels": labels, "value": value} for labels, value in samples.items()]
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": asked, "eval_time": f"{MINUTES}m", "exp_samples": expected}],
    }
    file = three / "panel.test.yml"
    content = {"rule_files": ["rules/recorded.yml"], "evaluation_interval": "1m", "tests": [test]}
    file.write_text(json.dumps(content))
    done = promtool.run(three, "test", "rules", file.name)
    return "" if done.returncode == 0 else done.stdout + done.stderr


CASES: dict[str, tuple[str, dict[str, str], dict[str, float]]] = {
    "spend is the ledger's, with the first dollar of a new tenant": (
        expression("overview.json", "Spend"),
        RUNNING | LEDGER,
        {"{}": 1.25},
    ),
    "spend by tenant": (
        expression("overview.json", "Spend by tenant"),
        RUNNING | LEDGER,
        {'{tenant="old"}': 1, '{tenant="new"}': 0.25},
    ),
    "without gateway processes LiteLLM's first dollar counts, and a replica that starts again": (
        expression("overview.json", "Spend"),
        {
            LITELLM % "first": "_x40 0.5x50",
            LITELLM % "again": "4x40 4.5x20 0.25x30",
            LITELLM % "before": "7x90",
            LITELLM % "litellm-internal-health-check": "0+1x90",
        },
        {"{}": 1.25},
    ),
    "nothing fails while nothing happens": (
        expression("overview.json", "Server errors"),
        RUNNING | {f'{OUTCOME}{{outcome="gateway_failed"}}': "0x90", f'{OUTCOME}{{outcome="answered"}}': "0x90"},
        {"{}": 0},
    ),
    "refusals are no errors, and are no requests that deserve an answer": (
        expression("overview.json", "Server errors"),
        RUNNING
        | {
            f'{OUTCOME}{{outcome="answered"}}': "0+30x90",
            f'{OUTCOME}{{outcome="upstream_failed"}}': "0+5x90",
            f'{OUTCOME}{{outcome="gateway_failed"}}': "0+5x90",
            f'{OUTCOME}{{outcome="refused"}}': "0+900x90",
        },
        {"{}": 0.25},
    ),
    "the first failures of a target count": (
        expression("models.json", "Failed calls of targets"),
        {'tollgate_gateway_target_calls_total{target="a:1",outcome="failed"}': "0x75 5x15"},
        {"{}": 5},
    ),
    "a disk is as full as df says": (
        expression("overview.json", "Fullest disk"),
        {
            'node_filesystem_size_bytes{device="a",fstype="ext4"}': "100x90",
            'node_filesystem_free_bytes{device="a",fstype="ext4"}': "60x90",
            'node_filesystem_avail_bytes{device="a",fstype="ext4"}': "40x90",
        },
        {"{}": 0.5},
    ),
    "alerts are Alertmanager's, so Loki's count too": (
        expression("overview.json", "Alerts firing"),
        {
            'alertmanager_alerts{state="active"}': "3x90",
            'ALERTS{alertname="Watchdog",alertstate="firing"}': "1x90",
            'ALERTS{alertname="RedisDown",alertstate="firing"}': "1x90",
        },
        {"{}": 2},
    ),
    "without Alertmanager they are Prometheus's own": (
        expression("overview.json", "Alerts firing"),
        {
            'ALERTS{alertname="Watchdog",alertstate="firing"}': "1x90",
            'ALERTS{alertname="RedisDown",alertstate="firing"}': "1x90",
        },
        {"{}": 1},
    ),
    "a request that was handed over counts once": (
        expression("overview.json", "Requests by outcome"),
        RUNNING
        | {
            f'{OUTCOME}{{outcome="answered"}}': "0+60x90",
            'litellm_proxy_total_requests_metric_total{route="/v1/messages",status_code="200"}': "0+60x90",
        },
        {'{outcome="answered"}': 1},
    ),
    "without gateway processes LiteLLM's requests are shown, without its health checks and scrapes": (
        expression("overview.json", "Requests by outcome"),
        {
            'litellm_proxy_total_requests_metric_total{route="/v1/messages",status_code="200"}': "0+60x90",
            'litellm_proxy_total_requests_metric_total{route="/metrics",status_code="200"}': "0+60x90",
            "litellm_proxy_total_requests_metric_total"
            '{route="/v1/messages",status_code="200",team_alias="litellm-internal-health-check"}': "0+60x90",
        },
        {'{status_code="200"}': 1},
    ),
    "one of two processes is half of them": (
        expression("processes.json", "Gateway processes up"),
        {'up{job="gateway",gateway="gateway-1"}': "1x90", 'up{job="gateway",gateway="gateway-2"}': "0x90"},
        {"{}": 0.5},
    ),
    "half of the failures of 30 days are left": (
        expression("overview.json", "Failures left, of 30 days"),
        {
            f'{OUTCOME}{{outcome="answered"}}': "0x1 1998x89",
            f'{OUTCOME}{{outcome="gateway_failed"}}': "0x1 1x89",
            f'{OUTCOME}{{outcome="left"}}': "0x1 1x89",
        },
        {"{}": 0.5},
    ),
    "half of the late first bytes of 30 days are left, in two processes": (
        expression("overview.json", "Late first bytes left, of 30 days"),
        {
            'tollgate_gateway_own_seconds_count{gateway="gateway-1",route="direct"}': "0x1 1000x89",
            'tollgate_gateway_own_seconds_count{gateway="gateway-2",route="direct"}': "0x1 1000x89",
            'tollgate_gateway_own_seconds_bucket{gateway="gateway-1",route="direct",le="0.1"}': "0x1 990x89",
            'tollgate_gateway_own_seconds_bucket{gateway="gateway-2",route="direct",le="0.1"}': "0x1 1000x89",
        },
        {"{}": 0.5},
    ),
    "half of the answers were quicker, over models and processes": (
        expression("overview.json", "Time to first byte"),
        {
            f'tollgate_gateway_first_byte_seconds_bucket{{gateway="{gateway}",route="direct",le="{le}"}}': values
            for gateway in ("gateway-1", "gateway-2")
            for le, values in (("0.5", "0+30x90"), ("1", "0+60x90"), ("+Inf", "0+60x90"))
        },
        {"{}": 0.5},
    ),
    "a target's first bytes are its own": (
        expression("models.json", "Time to first byte by target"),
        {
            f'tollgate_gateway_target_first_byte_seconds_bucket{{target="{target}",le="{le}"}}': "0+60x90"
            for target, bounds in (("a:1", ("1", "+Inf")), ("b:1", ("2", "+Inf")))
            for le in bounds
        },
        {'{target="a:1"}': 0.95, '{target="b:1"}': 1.9},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_panel_shows_what_happened(promtool: Tool, three: Path, name: str) -> None:
    asked, series, samples = CASES[name]
    assert evaluate(promtool, three, series, asked, samples) == ""


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (
            "spend is the ledger's, with the first dollar of a new tenant",
            "sum(increase(tollgate_tenant_spend_usd_total[1h]))",
        ),
        (
            "without gateway processes LiteLLM's first dollar counts, and a replica that starts again",
            "sum(increase(litellm_spend_metric_total[1h]))",
        ),
        (
            "nothing fails while nothing happens",
            f'sum(rate({OUTCOME}{{outcome="gateway_failed"}}[5m])) / sum(rate({OUTCOME}[5m]))',
        ),
        (
            "a disk is as full as df says",
            "max(1 - node_filesystem_avail_bytes / node_filesystem_size_bytes)",
        ),
        (
            "alerts are Alertmanager's, so Loki's count too",
            'count(ALERTS{alertstate="firing",alertname!="Watchdog"}) or vector(0)',
        ),
    ],
)
def test_what_panels_asked_before_shows_something_else(promtool: Tool, three: Path, name: str, asked: str) -> None:
    """Measured against a real stack (CHANGELOG): a panel showed $0.885 where the ledger had $1.464."""
    _, series, samples = CASES[name]
    assert "exp:" in evaluate(promtool, three, series, asked, samples)
