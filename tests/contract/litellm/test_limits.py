"""The limits of our hooks with a real LiteLLM: admitted requests, refused requests, and what counts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.contract.litellm.catalogue import forget, recorded
from tests.contract.litellm.gateway import CACHED, Gateway
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash
from tollgate.services.limits.rule import MONEY, REQUESTS
from tollgate.services.limits.rules import rules_of
from tollgate.services.limits.windows import window

pytestmark = pytest.mark.docker

Handmade = Callable[..., Secret]
SLOW = "[[tokens=40 tps=6]] Take your time."


def counter(gateway: Gateway, key: Secret, kind: str) -> str:
    """The name in Redis of the tenant's only limit of this kind, as a gateway process computes it from the tables."""
    team = """SELECT team_id, created_at, metadata FROM "LiteLLM_TeamTable"
               WHERE team_id = (SELECT team_id FROM "LiteLLM_VerificationToken" WHERE token = %s)"""
    values = gateway.sql(team, key_hash(key))[0]
    (rule,) = (
        rule
        for rule in rules_of(dict(zip(("team_id", "created_at", "metadata"), values, strict=True)), None)
        if rule.kind == kind
    )
    return rule.prefix + window(rule.window, datetime.now(UTC)).label


def statuses(gateway: Gateway, key: Secret, count: int, **options: Any) -> list[int]:
    return [gateway.ask(key, **options).status_code for _ in range(count)]


@pytest.mark.parametrize("field", ["requests_per_hour", "requests_per_day"])
def test_a_limit_admits_exactly_its_number_of_requests(running: Gateway, handmade: Handmade, field: str) -> None:
    assert statuses(running, handmade(limits={field: 3}), 5) == [200, 200, 200, 429, 429]


def test_twin_without_the_limit_all_pass(running: Gateway, handmade: Handmade) -> None:
    assert statuses(running, handmade(), 5) == [200] * 5


def test_a_tenants_limit_is_for_all_its_keys_and_a_keys_for_itself(running: Gateway, handmade: Handmade) -> None:
    first = handmade(limits={"requests_per_hour": 3}, key_limits={"requests_per_hour": 2})
    row = running.client.find_key(key_hash(first))
    assert row is not None
    second = Secret(f"sk-second-{uuid.uuid4().hex}")
    running.client.create_key(second, {"team_id": row["team_id"], "models": ["all-team-models"]})
    assert statuses(running, first, 3) == [200, 200, 429]
    assert statuses(running, second, 2) == [200, 429]


def test_a_changed_limit_applies_to_the_next_request(running: Gateway, handmade: Handmade) -> None:
    key = handmade(limits={"requests_per_hour": 1})
    assert statuses(running, key, 2) == [200, 429]
    row = running.client.find_key(key_hash(key))
    assert row is not None
    running.client.update_team(row["team_id"], {"metadata": {"limits": {"requests_per_hour": 2}}})
    assert statuses(running, key, 2) == [200, 429]


@pytest.mark.parametrize(
    ("team", "more"),
    [
        ({"rpm_limit": 1}, {}),  # LiteLLM's own limiter, which runs after ours
        ({"models": []}, {"model": "gpt-nine"}),  # refused after admission
        ({}, {"model": "gpt-nine"}),  # and before admission
        ({}, {"messages": None}),
    ],
)
def test_a_refused_request_counts_against_no_limit(
    running: Gateway, handmade: Handmade, team: dict[str, Any], more: dict[str, Any]
) -> None:
    key = handmade(team, limits={"requests_per_hour": 2, "max_parallel_requests": 1})
    assert running.ask(key).status_code == 200
    assert all(status >= 400 for status in statuses(running, key, 3, **more))
    assert running.redis("GET", counter(running, key, REQUESTS)) == "1"


def test_a_request_that_failed_at_the_provider_counts(running: Gateway, handmade: Handmade) -> None:
    """The twin: the gateway admitted the request and sent it to the provider."""
    key = handmade(limits={"requests_per_hour": 2})
    assert statuses(running, key, 2, text="[[status=500]] x") == [529, 529]
    assert running.ask(key).status_code == 429


def test_a_refused_request_spends_nothing(running: Gateway, handmade: Handmade) -> None:
    """It releases its reservation: a budget for two answers still pays for the second one."""
    key = handmade(
        {"budget_limits": [{"budget_duration": "1d", "max_budget": 0.0006}]}, limits={"max_parallel_requests": 1}
    )
    mark = uuid.uuid4().hex
    forget(running)
    with ThreadPoolExecutor(1) as others:
        slow = others.submit(running.ask, key, text=f"[[tokens=40 tps=6]] Take your time, {mark}.")
        # Wait until the slow request has the slot: it reaches the provider only after that.
        eventually(lambda: any(mark in str(request["body"]) for request in recorded(running)), within=30, every=0.05)
        assert statuses(running, key, 5) == [429] * 5
        assert slow.result().status_code == 200
    assert running.ask(key).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_the_parallel_limit_admits_exactly_its_number(running: Gateway, handmade: Handmade, stream: bool) -> None:
    key = handmade(limits={"max_parallel_requests": 2})
    with ThreadPoolExecutor(6) as callers:
        asked = [callers.submit(running.ask, key, text=SLOW, stream=stream) for _ in range(6)]
        assert sorted(answer.result().status_code for answer in asked) == [200, 200, 429, 429, 429, 429]


@pytest.mark.parametrize("stream", [False, True])
def test_a_slot_is_free_as_soon_as_the_answer_has_ended(running: Gateway, handmade: Handmade, stream: bool) -> None:
    key = handmade(limits={"max_parallel_requests": 1})
    assert statuses(running, key, 10, stream=stream) == [200] * 10


def test_a_client_that_hangs_up_frees_its_slot(running: Gateway, handmade: Handmade) -> None:
    key = handmade(limits={"max_parallel_requests": 1})
    body = {
        "model": "test-model",
        "max_tokens": 4000,
        "stream": True,
        "messages": [{"role": "user", "content": "[[tokens=4000 tps=20]] x"}],
    }
    url, headers = f"{running.url}/v1/messages", {"x-api-key": key.reveal()}
    with plain.stream("POST", url, json=body, headers=headers, timeout=60, trust_env=False) as answer:
        pieces = answer.iter_bytes()  # keep a reference, otherwise the connection closes
        assert next(pieces)
        assert running.ask(key).status_code == 429
    eventually(lambda: running.ask(key).status_code == 200, within=20)


# ---- money of a model


CAP = {"per_model": {"test-model": {"1d": 0.0003}}}


def spend_until_refused(gateway: Gateway, key: Secret, **options: Any) -> httpx.Response:
    def refused() -> httpx.Response | None:
        answer = gateway.ask(key, **options)
        return answer if answer.status_code != 200 else None

    return eventually(refused, within=30)


@pytest.mark.parametrize("stream", [False, True])
def test_all_names_of_a_model_share_its_budget(running: Gateway, handmade: Handmade, stream: bool) -> None:
    key = handmade({"models": ["test-model", "another-name"]}, limits=CAP)
    refused = spend_until_refused(running, key, model="another-name", stream=stream)
    assert refused.json()["error"]["type"] == "billing_error"
    assert "on model test-model has spent $0.000" in refused.json()["error"]["message"]
    assert running.ask(key).status_code == 429


def test_a_budget_for_another_model_does_not_apply(running: Gateway, handmade: Handmade) -> None:
    """The twin: the budget is for a model that no request uses."""
    key = handmade(limits={"per_model": {"dead-model": {"1d": 0.0003}}})
    assert statuses(running, key, 5) == [200] * 5


def test_a_flushed_redis_does_not_reopen_a_models_window(running: Gateway, handmade: Handmade) -> None:
    key = handmade(limits=CAP)
    spend_until_refused(running, key)
    booked = 'SELECT sum(spend) FROM "LiteLLM_DailyTeamSpend" WHERE api_key = %s'
    eventually(lambda: (running.sql(booked, key_hash(key))[0][0] or 0) >= 0.0003, within=60, every=0.5)
    assert running.redis("DEL", counter(running, key, MONEY)) == "1"
    assert running.ask(key).status_code == 429


# ---- the response cache


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_no_tenant_gets_anothers_cached_answer(running: Gateway, handmade: Handmade, path: str) -> None:
    """Even if something before our hook gave both tenants the same namespace."""
    mine, others = handmade(), handmade()
    wanted = {"path": path, "text": f"{CACHED} once {uuid.uuid4()}"}

    def id_of(key: Secret) -> str:
        answer = running.ask(key, **wanted)
        assert answer.status_code == 200
        return str(answer.json()["id"])

    given = {id_of(mine)}

    def again() -> bool:
        """LiteLLM caches an answer after it was sent. An earlier request gets another answer, which is cached too."""
        answer = id_of(mine)
        cached = answer in given
        given.add(answer)
        return cached

    # The twin: the cache works for the tenant that got the answer.
    eventually(again, within=30)
    assert id_of(others) not in given
