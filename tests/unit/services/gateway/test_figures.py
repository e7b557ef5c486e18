"""The figures behind objectives and panels: outcomes, the gateway's own part, targets, the event loop."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.gateway_process import running
from tests.unit.services.gateway.test_metrics import ASKED, fails, messages
from tollgate.services.gateway import exchange
from tollgate.services.gateway import metrics as module
from tollgate.services.gateway.catalogue import Protocol
from tollgate.services.gateway.loop import watch_loop
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.outcomes import OUTCOMES, outcome_of
from tollgate.services.gateway.record import Record


@pytest.mark.parametrize(
    ("outcome", "ended"),
    [
        ("answered", {"status": 200}),
        ("left", {"status": 499}),
        ("refused", {"status": 429, "code": "budget_spent"}),
        ("upstream_failed", {"status": 529, "code": "provider_failed"}),
        ("upstream_failed", {"status": 429, "code": "provider_rate_limit"}),
        ("upstream_failed", {"status": 424, "code": "provider_refused_gateway"}),
        ("refused", {"status": 424, "route": "litellm"}),
        ("upstream_failed", {"status": 200, "error": "TimeoutError"}),
        ("upstream_failed", {"status": 529, "route": "litellm"}),
        ("gateway_failed", {"status": 500, "route": "litellm"}),
        ("gateway_failed", {"status": 500, "code": "gateway_failed"}),
        ("gateway_failed", {"status": 529, "code": "gateway_unavailable"}),
        ("gateway_failed", {"status": 529, "code": "gateway_full"}),
        ("gateway_failed", {"status": 200, "error": "converter_stream"}),
    ],
)
def test_only_our_own_failures_count_against_the_objective(outcome: str, ended: dict[str, Any]) -> None:
    assert outcome_of(**ended) == outcome
    metrics = Metrics(["fast"])
    metrics.ended(Record(model="fast", tenant="acme", **ended))
    text = metrics.text().decode()
    for name in OUTCOMES:
        assert f'tollgate_gateway_outcomes_total{{outcome="{name}"}} {float(name == outcome)}' in text
    assert f'tollgate_gateway_tenant_requests_total{{outcome="{outcome}",tenant="acme"}} 1.0' in text


def test_the_own_part_leaves_out_the_time_of_the_upstream(tmp_path: Path) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.4)
        return await messages(request)

    async def go() -> None:
        async with running(tmp_path, slow) as process:
            for model in ("fast", "far"):
                assert (await process.ask({**ASKED, "model": model})).status == 200
            seen = process.metrics()
        for model, route in (("fast", "direct"), ("far", "litellm")):
            assert seen[f'tollgate_gateway_own_seconds_sum{{route="{route}"}}'] < 0.3
            assert seen[f'tollgate_gateway_whole_seconds_sum{{model="{model}",route="{route}"}}'] >= 0.4
        assert seen['tollgate_gateway_target_first_byte_seconds_sum{target="fast:1"}'] >= 0.4

    asyncio.run(go())


def test_time_that_we_take_ourselves_is_the_own_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin of the test above: the same delay, in our converter."""
    converted = exchange.chat_answer.to_messages

    def slowly(*given: Any, **named: Any) -> Any:
        time.sleep(0.4)
        return converted(*given, **named)

    monkeypatch.setattr(exchange.chat_answer, "to_messages", slowly)

    async def go() -> None:
        async with running(tmp_path, messages, protocols=[Protocol.CHAT]) as process:
            assert (await process.ask(ASKED)).status == 200
            assert process.metrics()['tollgate_gateway_own_seconds_sum{route="direct"}'] >= 0.4

    asyncio.run(go())


def test_a_blocked_event_loop_is_seen() -> None:
    async def go() -> float:
        metrics = Metrics([])
        task = asyncio.create_task(watch_loop(metrics, every=0.01))
        await asyncio.sleep(0)
        time.sleep(0.2)
        await asyncio.sleep(0.02)
        task.cancel()
        [total] = re.findall(r"tollgate_gateway_event_loop_lag_seconds_sum (\S+)", metrics.text().decode())
        return float(total)

    assert asyncio.run(go()) > 0.15


def test_a_target_that_rests_is_shown(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, fails) as process:
            for _ in range(4):
                await process.ask(ASKED)
            seen = process.metrics()
        assert seen['tollgate_gateway_target_resting{target="fast:1"}'] == 1
        assert 'tollgate_gateway_target_resting{target="slow:1"}' not in seen

    asyncio.run(go())


def test_figures_of_targets_begin_at_zero() -> None:
    """`increase` compares with the value before, so it would lose the first failure of each target."""
    assert 'target_calls_total{outcome="failed",target="a:1"} 0.0' in Metrics([], ["a:1"]).text().decode()
    assert "target_calls_total{" not in Metrics([]).text().decode()


def test_tenants_beyond_the_bound_share_a_series(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TENANTS", 2)
    metrics = Metrics([])
    for tenant in ("a", "b", "c", "d", "a"):
        metrics.ended(Record(tenant=tenant, status=200))
    found = dict(
        re.findall(r'tenant_requests_total\{outcome="answered",tenant="(\w+)"\} (\S+)', metrics.text().decode())
    )
    assert found == {"a": "2.0", "b": "1.0", "other": "2.0"}
