"""The figures that Prometheus gets, and that no label holds what a client chose."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from psycopg_pool import AsyncConnectionPool

from tests.support.gateway_process import METRICS_KEY, caller, running
from tests.support.metrics import inventory
from tollgate.ledger.soft_limits import SoftShare
from tollgate.services.gateway import exchange, outgoing
from tollgate.services.gateway.catalogue import Protocol
from tollgate.services.gateway.ledger.aside import Aside
from tollgate.services.gateway.ledger.usage import Usage
from tollgate.services.gateway.metrics import Metrics, word
from tollgate.services.gateway.outcomes import OUTCOMES
from tollgate.services.gateway.own.soft_limits import SoftLimits
from tollgate.services.gateway.record import Record

ASKED = {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
USAGE = {"input_tokens": 10, "output_tokens": 4}


async def messages(request: web.Request) -> web.StreamResponse:
    if request.path == "/v1/messages":
        return web.json_response({"type": "message", "content": [], "usage": USAGE})
    choice = {"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 10, "completion_tokens": 4}})


async def fails(request: web.Request) -> web.StreamResponse:
    return web.json_response({}, status=503)


def test_each_event_is_counted_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, messages) as process:
            for asked in (ASKED, {**ASKED, "model": "slow"}, {**ASKED, "model": "far"}):
                await process.ask(asked)
            await process.ask(path="/health", method="GET")
            await process.ask(path="/v1/models", method="GET")
            await process.ask({**ASKED, "model": "unheard-of"})
            seen = process.metrics()
        for name, value in {
            'requests_total{model="fast",route="direct",status="2xx"}': 1,
            'requests_total{model="slow",route="direct",status="2xx"}': 1,
            'requests_total{model="far",route="litellm",status="2xx"}': 1,
            'requests_total{model="other",route="own",status="2xx"}': 1,
            'requests_total{model="other",route="litellm",status="4xx"}': 0,
            'refusals_total{code="model_not_allowed"}': 1,
            'handovers_total{reason="provider"}': 1,
            'handovers_total{reason="route"}': 1,
            'fallbacks_total{fallback="fast",model="slow"}': 1,
            'target_failures_total{kind="connect",target="slow:1"}': 1,
            'tokens_total{kind="input",model="fast"}': 20,
            'tokens_total{kind="output",model="fast"}': 8,
            'first_byte_seconds_count{model="fast",route="direct"}': 1,
            'converter_failures_total{part="converter_request"}': 0,
            'outcomes_total{outcome="answered"}': 4,
            'outcomes_total{outcome="refused"}': 1,
            'outcomes_total{outcome="upstream_failed"}': 0,
            'tenant_requests_total{outcome="answered",tenant="acme"}': 4,
            'target_calls_total{outcome="failed",target="slow:1"}': 1,
            'target_calls_total{outcome="answered",target="fast:1"}': 2,
            'target_first_byte_seconds_count{target="fast:1"}': 2,
            'own_seconds_count{route="direct"}': 2,
            'whole_seconds_count{model="far",route="litellm"}': 1,
            "running": 0,
            "direct_on": 1,
            "journal_waiting_calls": 2,
        }.items():
            assert seen.get(f"tollgate_gateway_{name}", 0) == value, name
        assert seen['tollgate_gateway_cost_usd_total{model="fast"}'] == pytest.approx(2 * 30e-6)

    asyncio.run(go())


@pytest.mark.parametrize("part", ["converter_request", "converter_answer"])
def test_a_converter_that_fails_is_counted_apart_and_litellm_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise KeyError("choices")

    if part == "converter_request":
        monkeypatch.setattr(outgoing.chat_request, "to_chat", breaks)
    else:
        monkeypatch.setattr(exchange.chat_answer, "to_messages", breaks)

    async def go() -> None:
        async with running(tmp_path, messages, protocols=[Protocol.CHAT]) as process:
            assert (await process.ask(ASKED)).status == 200
            seen = process.metrics()
        assert seen[f'tollgate_gateway_converter_failures_total{{part="{part}"}}'] == 1
        assert seen[f'tollgate_gateway_handovers_total{{reason="{part}"}}'] == 1

    asyncio.run(go())


def test_a_stream_that_the_converter_fails_at_ends_with_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def streams(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices": [{"delta": {"content": "hi"}}]}\n\n')
        await asyncio.sleep(0.1)
        await answer.write(b"data: second\n\n")
        return answer

    fed = exchange.ChatStream.feed

    def breaks(self: Any, data: bytes) -> bytes:
        if b"second" in data:
            raise KeyError("choices")
        return fed(self, data)

    monkeypatch.setattr(exchange.ChatStream, "feed", breaks)

    async def go() -> None:
        async with running(tmp_path, streams, protocols=[Protocol.CHAT]) as process:
            answer = await process.ask({**ASKED, "stream": True})
            assert b"event: error" in answer.body
            seen = process.metrics()
        assert seen['tollgate_gateway_converter_failures_total{part="converter_stream"}'] == 1
        assert seen['tollgate_gateway_cut_answers_total{model="fast"}'] == 1
        assert not [name for name in seen if "handovers" in name]

    asyncio.run(go())


def test_no_label_holds_what_a_client_or_an_upstream_chose(tmp_path: Path) -> None:
    chosen = "chosen-by-the-client"

    async def go() -> None:
        # A tenant's id is the operator's word.
        holder = caller(tenant="acme", key_name=chosen, owner=chosen)
        async with running(tmp_path, fails, holder=holder) as process:
            for asked in (ASKED, {**ASKED, "model": chosen}, {**ASKED, chosen: 1}, {**ASKED, "metadata": chosen}):
                await process.ask(asked, **{"user-agent": chosen, "x-request-id": chosen})
            await process.ask(path=f"/v1/models/{chosen}", method="GET")
            await process.ask(path="/gateway/usage", method="GET", **{"x-request-id": chosen})
            text = process.app.metrics.text().decode()
        assert chosen not in text
        assert 'kind="status_503"' in text
        assert 'outcomes_total{outcome="upstream_failed"}' in text

    asyncio.run(go())


def test_words_that_are_not_ours_become_other() -> None:
    for text in ("", "a b", "x" * 60, "status_299", "Status", "status_500x", 'a"b'):
        assert word(text) == "other", text
    for text in ("route", "status_429", "converter_request", "model_not_allowed"):
        assert word(text) == text
    metrics = Metrics(["fast"])
    record = Record(model="nobody-has-this", answered_by="nor-this", usage=Usage(input=1), nano=1, status=777)
    metrics.ended(record)
    values = [value for _, value in re.findall(r'(\w+)="([^"]*)"', metrics.text().decode())]
    words = {"other", "operator", "fast", "direct", "input"}
    words |= {"converter_request", "converter_answer", "converter_stream"}
    bounds = {value for value in values if value == "+Inf" or value[0].isdigit()}
    assert set(values) <= words | bounds | set(OUTCOMES)


def test_the_inventory_for_dashboards_and_alerts_is_complete(tmp_path: Path) -> None:
    """tests/fixtures/metrics/gateway.txt names what a gateway process shows."""

    async def go() -> None:
        async with running(tmp_path, messages) as process:
            for model in ("fast", "slow", "far", "unheard-of"):
                await process.ask({**ASKED, "model": model})
            process.app.metrics.lagged(0.001)
            process.app.metrics.ended(Record(model="fast", answered_by="fast", error="cut", status=200))
            soft_limits = SoftLimits(AsyncConnectionPool(open=False))
            soft_limits.near = (SoftShare("acme", "lead@example.org", Decimal(1)),)
            process.app.metrics.watch(soft_limits)
            text = process.app.metrics.text().decode()
        shown: dict[str, set[str]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                assert not sample.name.endswith("_created"), "it doubles the number of series"
                if not sample.name.startswith("process_"):
                    shown.setdefault(sample.name, set()).update(sample.labels)
                else:
                    assert sample.name in inventory(), sample.name
        known = {name: labels for name, labels in inventory().items() if name.startswith("tollgate_gateway_")}
        assert {name: labels - {"job", "instance", "gateway"} for name, labels in known.items()} == shown

    asyncio.run(go())


def test_metrics_need_the_key_of_prometheus(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, messages) as process:
            assert (await process.ask(path="/metrics", method="GET")).status == 401
            answer = await process.ask(path="/metrics", method="GET", key=METRICS_KEY)
            assert (answer.status, b"tollgate_gateway_running" in answer.body) == (200, True)

    asyncio.run(go())


def test_health_says_how_it_is(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, messages) as process:
            await process.ask(ASKED)
            health = process.app.inside.health()
        ledger = {"waiting": 1, "lag_s": 0.0, "failing": "", "unwritten": 0, "set_aside": 0}
        said = {"status": "ok", "route": "direct", "running": 0, "listening": False, "redis": True}
        assert health == said | {"ledger": ledger, "replicas": {"litellm-1": {"takes": True, "running": 0}}}

    asyncio.run(go())


def test_calls_that_were_set_aside_count_until_their_file_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "gateway-1.refused"
    first = Aside(file)
    first.add([b"one", b"two"])
    assert (first.count, Aside(file).count) == (2, 2)
    file.unlink()
    assert first.count == 0
    first.add([b"three"])
    assert first.count == 1
