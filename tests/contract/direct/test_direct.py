"""A request that a gateway process answers by itself: both APIs, whole and streamed, booked and held by limits."""

from __future__ import annotations

import gzip
import hashlib
import json
from decimal import Decimal
from typing import Any

import anthropic
import httpx
import openai
import pytest

from tests.contract.litellm.gateway import METRICS_KEY, Gateway
from tests.contract.litellm.tenants import Tenants, key_of, wanted
from tests.support import plain
from tests.support.clock import until_the_minute_has_left
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

ACME = "tenant: {id: acme, owner: lead@example.org}\nallowed_models: [test-model]\n"
QUESTION = {"model": "test-model", "max_tokens": 60, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def key(tenants: Tenants) -> Secret:
    tenants.apply(wanted(ACME))
    return key_of("acme")


def post(running: Gateway, key: Secret, path: str = "/v1/messages", process: int = 0, **more: Any) -> httpx.Response:
    return plain.post(
        running.direct[process] + path,
        json={**QUESTION, **more},
        headers={"x-api-key": key.reveal(), "anthropic-version": "2023-06-01"},
        timeout=60,
        trust_env=False,
    )


def metric(running: Gateway, name: str, process: int = 0) -> float:
    text = plain.get(running.direct[process] + "/metrics", headers={"authorization": f"Bearer {METRICS_KEY}"}).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def test_both_apis_answer_whole_and_streamed(running: Gateway, key: Secret) -> None:
    before = metric(running, "tollgate_gateway_handovers_total")
    # Clients that nobody closes leave sockets to the garbage collector, which warns in some later test.
    with anthropic.Anthropic(base_url=running.direct[0], api_key=key.reveal(), max_retries=0) as messages:
        whole = messages.messages.create(**QUESTION)
        with messages.messages.stream(**QUESTION) as stream:
            streamed = stream.get_final_message()
    assert whole.content[0].text == streamed.content[0].text  # type: ignore[union-attr]
    assert whole.usage.output_tokens == streamed.usage.output_tokens > 0
    with openai.OpenAI(base_url=f"{running.direct[0]}/v1", api_key=key.reveal(), max_retries=0) as chat:
        answer = chat.chat.completions.create(**QUESTION)
        pieces = list(chat.chat.completions.create(**QUESTION, stream=True))
        asked = list(chat.chat.completions.create(**QUESTION, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in pieces for choice in chunk.choices)
    assert text == answer.choices[0].message.content
    assert not any(chunk.usage for chunk in pieces), "nobody asked for the usage"
    assert asked[-1].usage is not None
    assert metric(running, "tollgate_gateway_handovers_total") == before


def test_other_routes_are_handed_to_litellm(running: Gateway, key: Secret) -> None:
    before = metric(running, "tollgate_gateway_handovers_total")
    embedded = plain.post(
        f"{running.direct[0]}/v1/embeddings",
        json={"model": "test-model", "input": "hello"},
        headers={"x-api-key": key.reveal()},
        timeout=60,
    )
    assert embedded.status_code == 200 and embedded.json()["data"], embedded.text
    assert metric(running, "tollgate_gateway_handovers_total") == before + 1


def test_an_answer_is_booked_to_the_cent_in_litellms_tables(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: held}"))
    key = key_of("held")
    calls = [post(running, key), post(running, key, "/v1/chat/completions")]
    calls.append(post(running, key, process=1, stream=True))
    assert [call.status_code for call in calls] == [200, 200, 200], [call.text for call in calls]
    token = key_hash(key)

    def rows() -> list[tuple[Any, ...]]:
        query = 'SELECT prompt_tokens, completion_tokens, spend FROM "LiteLLM_SpendLogs" WHERE api_key = %s'
        return running.sql(query, token)

    eventually(lambda: len(rows()) == 3, within=60)
    cost = sum((Decimal(sent) + 5 * Decimal(written)) / 1_000_000 for sent, written, _ in rows())
    spent = sum(Decimal(repr(row[2])) for row in rows())
    assert spent == cost > 0
    for query, value in (
        ('SELECT SUM(spend) FROM "LiteLLM_DailyTeamSpend" WHERE api_key = %s', token),
        ('SELECT spend FROM "LiteLLM_VerificationToken" WHERE token = %s', token),
        ('SELECT spend FROM "LiteLLM_TeamTable" WHERE team_id = %s', "held"),
    ):
        assert running.sql(query, value)[0][0] == pytest.approx(float(cost), abs=1e-12), query


@pytest.mark.parametrize(
    ("tenant", "limits", "statuses"),
    [
        ("p1", "rate_limits: {requests_per_minute: 3}", [200, 200, 200, 429, 429]),
        ("p2", "rate_limits: {requests_per_day: 2}", [200, 200, 429]),
        ("beta", "", [200, 200, 200, 200]),
    ],
)
def test_limits_hold_over_both_processes(
    running: Gateway, tenants: Tenants, tenant: str, limits: str, statuses: list[int]
) -> None:
    tenants.apply(wanted(f"tenant: {{id: {tenant}}}\n{limits}"))
    until_the_minute_has_left()
    answers = [post(running, key_of(tenant), process=number % 2) for number in range(len(statuses))]
    assert [answer.status_code for answer in answers] == statuses, answers[-1].text


def test_a_spent_budget_refuses_in_anthropics_words(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: frugal, owner: lead@example.org}\nbudget: {daily_limit: 0.0001}"))
    answers = [post(running, key_of("frugal")) for _ in range(3)]
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 429
    assert answers[-1].json()["error"]["type"] == "billing_error"
    assert "lead@example.org" in answers[-1].json()["error"]["message"]


def test_a_block_holds_at_once_on_every_process(running: Gateway, key: Secret) -> None:
    assert {post(running, key, process=process).status_code for process in (0, 1)} == {200}
    running.client.update_key(key_hash(key), {"blocked": True})

    def refused() -> bool:
        return {post(running, key, process=process).status_code for process in (0, 1)} == {401}

    eventually(refused, within=20)


def test_strangers_read_nothing_and_leave_no_row(running: Gateway) -> None:
    unknown = "sk-nobody-knows-this-key"
    # Calls of the tests before may reach the ledger meanwhile. They have other keys.
    hashed = hashlib.sha256(unknown.encode()).hexdigest()
    rows = f"SELECT count(*) FROM \"LiteLLM_SpendLogs\" WHERE api_key IN ('', '{unknown}', '{hashed}')"  # noqa: S608  our own words
    before = running.sql(rows)
    answer = post(running, Secret(unknown))
    assert answer.status_code == 401
    assert running.sql(rows) == before


@pytest.mark.parametrize("field", ["api_key", "timeout", "no-log", "mock_response", "user_config"])
def test_orders_are_refused_by_name(running: Gateway, key: Secret, field: str) -> None:
    answer = post(running, key, **{field: "x"})
    assert answer.status_code == 400
    assert field in answer.json()["error"]["message"]


def test_a_model_of_others_and_an_unknown_one_get_the_same_answer(running: Gateway, key: Secret) -> None:
    answers = [post(running, key, model=model) for model in ("dead-model", "nobody-has-this")]
    assert [answer.status_code for answer in answers] == [403, 403]


def test_a_compressed_body_and_a_packed_name_are_read(running: Gateway, key: Secret) -> None:
    packed = {**QUESTION, "model": f"claude-router-{b'test-model'.hex()}[1m]"}
    answer = plain.post(
        f"{running.direct[0]}/v1/messages",
        content=gzip.compress(json.dumps(packed).encode()),
        headers={"authorization": f"Bearer {key.reveal()}", "content-encoding": "gzip"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text


def test_an_upstream_that_is_not_there_is_a_529_and_costs_nothing(running: Gateway, tenants: Tenants) -> None:
    tenants.apply(wanted("tenant: {id: acme}\nallowed_models: [dead-model]\n"))
    answer = post(running, key_of("acme"), model="dead-model")
    assert (answer.status_code, answer.headers["x-should-retry"]) == (529, "true")
    assert "provider" in answer.json()["error"]["message"]
