"""Which calls are served directly, which go to LiteLLM, and what a fault of our own looks like."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("closed", "words"),
    [
        ({"blocked": True}, 'Key "default" of tenant "acme" was revoked'),
        ({"expires": datetime(2025, 11, 3)}, 'Key "default" of tenant "acme" expired on Nov 3 2025'),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/embeddings", "/v1/models"])
def test_a_closed_key_is_refused_here(tmp_path: Path, closed: Any, words: str, path: str) -> None:
    """A replica may remember the key as it was."""

    async def test() -> None:
        async with process(tmp_path, catalogue(), caller(key=closed)) as gateway:
            method = "GET" if path == "/v1/models" else "POST"
            async with gateway.session.request(method, gateway.url + path, headers={"x-api-key": KEY}) as answer:
                assert answer.status == 401 and words in (await answer.json())["error"]["message"]
            assert not gateway.litellm.asked

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
