"""count_tokens through a gateway process: the provider counts what was sent, and nothing is taken or booked."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import pytest

from tests.contract.direct.asking import QUESTION, ask, dials, rows
from tests.contract.direct.test_direct import metric
from tests.contract.litellm.catalogue import forget, recorded
from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.config.secret import Secret

pytestmark = pytest.mark.docker

COUNT = "/v1/messages/count_tokens"
HANDED = 'tollgate_gateway_handovers_total{reason="count_tokens"}'
TOOL = {"name": "read", "description": "Reads a file", "input_schema": {"type": "object"}, "defer_loading": True}
SENT: dict[str, Any] = {
    "model": "test-model",
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "messages": [{"role": "user", "content": "Count these words, and the tool."}],
    "tools": [TOOL],
    "tool_choice": {"type": "auto"},
    "thinking": {"type": "adaptive"},
    "output_config": {"effort": "high"},
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "next_weeks_field": {"a": [1, 2.5, None]},
}
HEADERS = {"anthropic-version": "2026-10-21", "anthropic-beta": "claude-code-20250219,next-week-2027-01-01"}


def tenant(tenants: Tenants, more: str = "", name: str = "counting") -> Secret:
    tenants.apply(wanted(f"tenant: {{id: {name}, owner: lead@example.org}}\n{more}"))
    return key_of(name)


def count(url: str, key: Secret, **more: Any) -> httpx.Response:
    body = {"model": "test-model", "messages": QUESTION["messages"], **more}
    return plain.post(url + COUNT, json=body, headers={"x-api-key": key.reveal()}, timeout=60, trust_env=False)


def test_the_provider_counts_what_the_client_sent(running: Gateway, tenants: Tenants) -> None:
    key, before = tenant(tenants), metric(running, "tollgate_gateway_handovers_total")
    forget(running)
    headers = {**HEADERS, "x-api-key": key.reveal(), "content-type": "application/json"}
    text = json.dumps(SENT, separators=(",", ":"))
    answer = plain.post(f"{running.direct[0]}{COUNT}?beta=true", content=text, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    [row] = recorded(running)
    assert (row["path"], row["body"]) == (COUNT, SENT)
    assert list(row["body"]) == list(SENT), "in the same order"
    assert HEADERS.items() <= dict(row["headers"]).items()
    usage = ask(running, key, **SENT).json()["usage"]
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    assert answer.json() == {"input_tokens": sum(usage[kind] for kind in read)}
    assert metric(running, "tollgate_gateway_handovers_total") == before


def test_anthropics_sdk_counts(running: Gateway, tenants: Tenants) -> None:
    key = tenant(tenants)
    with anthropic.Anthropic(base_url=running.direct[0], api_key=key.reveal(), max_retries=0) as client:
        asked: dict[str, Any] = {"model": "test-model", "messages": QUESTION["messages"]}
        short = client.messages.count_tokens(**asked).input_tokens
        long = client.beta.messages.count_tokens(**asked, tools=[TOOL], betas=["next-week-2027-01-01"]).input_tokens
    assert 0 < short < long


def test_counting_takes_from_no_limit_on_either_route(running: Gateway, tenants: Tenants) -> None:
    limits = "rate_limits: {requests_per_day: 1, max_parallel_requests: 1}\nbudget: {daily_limit: 0.0001}"
    key = tenant(tenants, limits, "counting-free")

    def counted() -> list[int]:
        answers = [count(running.direct[0], key), count(running.direct[1], key)]
        answers.append(count(running.direct[0], key, model="by-litellm"))
        answers.append(count(running.urls[0], key))
        return [answer.status_code for answer in answers]

    assert counted() == [200] * 4
    assert ask(running, key).status_code == 200, "the day has room for its one request"
    assert ask(running, key).status_code == 429, "twin: a message takes it"
    assert counted() == [200] * 4, "the day and the budget are spent"
    eventually(lambda: rows(running, key), within=60)
    assert len([row for row in rows(running, key) if row[0] == "success"]) == 1


@pytest.mark.parametrize(
    ("dial", "status", "kind", "headers"),
    [
        ("status=400", 400, "invalid_request_error", {"x-should-retry": "false"}),
        ("status=401", 424, "api_error", {"x-should-retry": "false"}),
        ("status=429 retry-after=70", 429, "rate_limit_error", {"retry-after": "70"}),
        ("status=529", 529, "overloaded_error", {"x-should-retry": "true"}),
    ],
)
def test_a_failure_of_the_provider_is_told_as_on_messages(
    running: Gateway, tenants: Tenants, dial: str, status: int, kind: str, headers: dict[str, str]
) -> None:
    key = tenant(tenants)
    answer = count(running.direct[0], key, messages=dials(dial))
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind), answer.text
    assert headers.items() <= dict(answer.headers).items()
    message = ask(running, key, messages=dials(dial))
    assert (message.status_code, message.json()["error"]) == (answer.status_code, answer.json()["error"])


def test_a_server_that_speaks_only_chat_is_estimated_by_litellm(running: Gateway, tenants: Tenants) -> None:
    key, before = tenant(tenants), metric(running, HANDED)
    answer = count(running.direct[0], key, model="dead-model")
    assert answer.status_code == 200 and answer.json()["input_tokens"] > 0, answer.text
    assert metric(running, HANDED) == before + 1


def test_a_cheapest_name_counts_with_the_model_that_would_answer(running: Gateway, tenants: Tenants) -> None:
    key = tenant(tenants, "allowed_models: [auto, test-model, blind-model]")
    answer = count(running.direct[0], key, model="auto")
    assert (answer.status_code, answer.headers["x-tollgate-model"]) == (200, "blind-model"), answer.text


def test_a_model_that_is_not_allowed_is_not_counted_with(running: Gateway, tenants: Tenants) -> None:
    key = tenant(tenants, "allowed_models: [test-model]")
    assert count(running.direct[0], key, model="free-model").status_code == 403
    assert count(running.direct[0], key).status_code == 200
