"""Which calls are served directly, which go to LiteLLM, and what a fault of our own looks like."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, Answer, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import (
    KEY,
    MASTER,
    caller,
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)
from tollgate.services.gateway.record import FIELDS

HANDED = b'{"handed":"over"}'
WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)


def handed(tmp_path: Path, reason: str, path: str = "/v1/messages", who: Any = None, **more: Any) -> None:
    """The call goes to LiteLLM for this reason, once, and leaves nothing here."""

    async def test() -> None:
        async with upstream(WHOLE) as one:
            served = catalogue(
                model(messages(one)),
                model(name="bedrock", reason="provider"),
                model(chat(one, "two"), name="gpt"),
            )
            async with process(tmp_path, served, who) as gateway:
                answer = await gateway.ask(path, **more)
                assert (answer.status, answer.text) == (200, HANDED), answer
                assert gateway.metric("handovers_total", reason=reason) == 1
                assert not one.asked and len(gateway.litellm.asked) == 1
                assert not gateway.booked() and not gateway.journal.running

    run(test)


@pytest.mark.parametrize(
    ("reason", "more"),
    [
        ("count_tokens", {"path": "/v1/messages/count_tokens", "model": "gpt"}),
        ("provider", {"path": "/v1/messages/count_tokens", "model": "bedrock"}),
        ("operator", {"path": "/v1/messages/count_tokens", "key": MASTER}),
        ("route", {"path": "/v1/embeddings", "input": "x"}),
        ("provider", {"model": "bedrock"}),
        ("name", {"model": "test-only-litellm"}),
        ("operator", {"key": MASTER}),
        ("protocol", {"path": "/v1/chat/completions"}),
        ("unknown_field", {"model": "gpt", "next_weeks_field": 1}),
    ],
)
def test_a_call_that_only_litellm_can_answer_is_handed_over(tmp_path: Path, reason: str, more: Any) -> None:
    handed(tmp_path, reason, **more)


def test_a_key_with_options_of_litellms_is_handed_over(tmp_path: Path) -> None:
    handed(tmp_path, "foreign_key", who=caller(key={"budget_id": "x"}))


SUSPENDED = 'Tenant "acme" is suspended: none of its keys work until it is resumed. Ask lead@example.org.'
GONE = {"expires": datetime(2025, 11, 3)}
CLOSED = {
    "revoked": ({"blocked": True}, {}, 'Key "default" of tenant "acme" was revoked'),
    "expired": (GONE, {}, 'Key "default" of tenant "acme" expired on Nov 3 2025'),
    "suspended": ({}, {"blocked": True}, SUSPENDED),
    "suspended, as apply does it": ({"blocked": True}, {"blocked": True}, SUSPENDED),
    "suspended, of a key that we did not make": ({"budget_id": "x"}, {"blocked": True}, SUSPENDED),
    # LiteLLM's route has the same order.
    "blocked and expired": ({"blocked": True, **GONE}, {"blocked": True}, SUSPENDED),
    "expired before": (GONE, {"blocked": True}, 'Key "default" of tenant "acme" expired'),
}


@pytest.mark.parametrize(("key", "team", "words"), CLOSED.values(), ids=CLOSED)
@pytest.mark.parametrize(
    "path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings", "/v1/models", "/gateway/usage"]
)
def test_a_closed_key_is_refused_here(tmp_path: Path, key: Any, team: Any, words: str, path: str) -> None:
    """A replica may remember the key as it was."""

    async def test() -> None:
        async with process(tmp_path, catalogue(), caller(key=key, team=team)) as gateway:
            method = "GET" if path in ("/v1/models", "/gateway/usage") else "POST"
            async with gateway.session.request(method, gateway.url + path, headers={"x-api-key": KEY}) as answer:
                assert answer.status == 401 and words in (await answer.json())["error"]["message"]
            assert not gateway.litellm.asked

    run(test)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        (caller(team={"blocked": True}), b" 401 "),
        (caller(key={"blocked": True}), b" 401 "),
        (caller(key=GONE), b" 401 "),
        (caller(), b" 100 "),
    ],
    ids=["suspended", "revoked", "expired", "twin: open"],
)
def test_a_body_is_received_only_for_an_open_key(tmp_path: Path, who: Any, said: bytes) -> None:
    """The client asks first. uvicorn says 100 as soon as somebody wants the body."""

    async def test() -> None:
        async with process(tmp_path, catalogue(), who) as gateway:
            host, port = gateway.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            head = "POST /v1/messages HTTP/1.1", "host: x", f"x-api-key: {KEY}", "expect: 100-continue"
            writer.write("\r\n".join((*head, "content-length: 30000000", "", "")).encode())
            async with asyncio.timeout(3):
                line = await reader.readline()
            writer.close()
            assert said in line
            assert not gateway.litellm.asked and not gateway.booked()

    run(test)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_health_of_models_is_litellms(tmp_path: Path, method: str) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue()) as gateway:
            empty = Answer([], headers={"content-length": "0"})
            gateway.litellm.answers(empty if method == "HEAD" else Answer([HANDED]))
            url = f"{gateway.url}/health?x=1"
            async with gateway.session.request(method, url, headers={"x-api-key": KEY}) as answer:
                assert answer.status == 200
            assert gateway.litellm.asked[0].path == "/health?x=1"

    run(test)


def test_handing_over_keeps_body_headers_status_and_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue(model(name="bedrock", reason="provider"))) as gateway:
            headers = {"x-litellm-cost": "1", "content-type": "application/json", "retry-after": "9"}
            gateway.litellm.answers(Answer([b'{"a":', 0.05, b"1}"], 418, headers))
            sent = b'{"model": "bedrock", "messages": [], "top_p": 1.0 }'
            more = {"anthropic-beta": "one", "X-Custom": "two", "content-type": "application/json"}
            answer = await gateway.ask(data=sent, headers=more)
            assert (answer.status, answer.text) == (418, b'{"a":1}')
            assert answer.headers["retry-after"] == "9"
            asked = gateway.litellm.asked[0]
            assert asked.text == sent
            assert (asked.headers["anthropic-beta"], asked.headers["x-custom"]) == ("one", "two")
            assert asked.headers["authorization"] == f"Bearer {KEY}"
            assert "accept-encoding" in asked.headers
            assert (asked.headers["host"], asked.headers["connection"]) == ("litellm", "close")

    run(test)


def test_a_litellm_that_is_not_there_is_a_529(tmp_path: Path) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue(model(name="bedrock", reason="provider"))) as gateway:
            gateway.litellm.answers(Answer(before="reset"))
            assert (await gateway.ask(model="bedrock")).told[:2] == (529, "overloaded_error")

    run(test)


def test_a_suspended_tenant_a_route_and_a_model_are_refused(tmp_path: Path) -> None:
    async def refusal(who: Any) -> tuple[int, str, str]:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one))), who) as gateway:
            told = (await gateway.ask()).told
            assert not one.asked and not gateway.booked()
            return told

    async def test() -> None:
        suspended = await refusal(caller(team={"blocked": True}))
        assert suspended[:2] == (401, "authentication_error") and "lead@example.org" in suspended[2]
        assert (await refusal(caller(key={"allowed_routes": ["/v1/models"]})))[0] == 403
        assert (await refusal(caller(team={"models": ["opus"]})))[:2] == (403, "permission_error")

    run(test)


@pytest.mark.parametrize(
    ("agent", "status"), [("claude-cli/2.1.330 (external, cli)", 424), ("Anthropic/Python 0.97.0", 403)]
)
def test_claude_code_shows_the_words_of_a_refused_model_only_after_a_424(
    tmp_path: Path, agent: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It changes the number and nothing else: it counts as refused, and log and console name it by its code."""
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            headers = {"user-agent": agent}
            told = (await gateway.ask(model="opus", headers=headers)).told
            assert told[:2] == (status, "permission_error") and 'has no model "opus" here' in told[2]
            assert (await gateway.ask("/v1/chat/completions", model="opus", headers=headers)).status == 403
            assert not one.asked
            assert await gateway.shows(2, "outcomes_total", outcome="refused")
            assert gateway.metric("outcomes_total", outcome="upstream_failed") == 0
            assert gateway.metric("refusals_total", code="model_not_allowed") == 2
            kept = await gateway.recent.read_all()
            assert [(entry["code"], entry["failed"]) for entry in kept] == [("model_not_allowed", False)] * 2
            assert {entry["status"] for entry in kept} == {status, 403}

    run(test)
    lines = [getattr(line, FIELDS) for line in caplog.records if hasattr(line, FIELDS)]
    assert [(line["status"], line["code"]) for line in lines] == [
        (status, "model_not_allowed"),
        (403, "model_not_allowed"),
    ]


def test_a_replicas_424_is_no_failure(tmp_path: Path) -> None:
    """A replica says 424 to Claude Code where it says 403 to others."""

    async def test() -> None:
        async with process(tmp_path, catalogue(model(name="bedrock", reason="provider"))) as gateway:
            gateway.litellm.answers(Answer([b"{}"], 424))
            assert (await gateway.ask(model="bedrock")).status == 424
            assert await gateway.shows(1, "outcomes_total", outcome="refused")
            assert [entry["failed"] for entry in await gateway.recent.read_all()] == [False]

    run(test)


def test_metrics_need_the_key_of_prometheus(tmp_path: Path) -> None:
    async def test() -> None:
        async with process(tmp_path, catalogue()) as gateway:
            for given, status in ((None, 401), ("metrics-key", 200), (KEY, 401), (MASTER, 401)):
                headers = {"authorization": f"Bearer {given}"} if given else {}
                async with gateway.session.get(f"{gateway.url}/metrics", headers=headers) as answer:
                    assert answer.status == status
            async with gateway.session.get(f"{gateway.url}/health/readiness") as answer:
                assert answer.status == 200

    run(test)
