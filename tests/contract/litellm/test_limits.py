"""The limits our hooks hold, at a real LiteLLM: what passes, what is refused, and what a refusal does not count."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.contract.litellm.catalogue import forget, recorded
from tests.contract.litellm.gateway import Gateway
from tests.support.eventually import eventually
from tollgate.config.secret import Secret
from tollgate.reconcile.desired import key_hash

pytestmark = pytest.mark.docker

Handmade = Callable[..., Secret]
SLOW = "[[tokens=40 tps=6]] Take your time."


def statuses(gateway: Gateway, key: Secret, count: int, **options: Any) -> list[int]:
    return [gateway.ask(key, **options).status_code for _ in range(count)]


@pytest.mark.parametrize("field", ["requests_per_hour", "requests_per_day"])
def test_as_many_pass_as_the_limit_says(running: Gateway, handmade: Handmade, field: str) -> None:
    assert statuses(running, handmade(limits={field: 3}), 5) == [200, 200, 200, 429, 429]


def test_twin_without_the_limit_all_pass(running: Gateway, handmade: Handmade) -> None:
    assert statuses(running, handmade(), 5) == [200] * 5


def test_a_tenants_limit_holds_over_its_keys_and_a_keys_for_itself(running: Gateway, handmade: Handmade) -> None:
    first = handmade(limits={"requests_per_hour": 3}, key_limits={"requests_per_hour": 2})
    row = running.client.find_key(key_hash(first))
    assert row is not None
    second = Secret(f"sk-second-{uuid.uuid4().hex}")
    running.client.create_key(second, {"team_id": row["team_id"], "models": ["all-team-models"]})
    assert statuses(running, first, 3) == [200, 200, 429]
    assert statuses(running, second, 2) == [200, 429]


def test_a_changed_limit_holds_from_the_next_request_on(running: Gateway, handmade: Handmade) -> None:
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
        ({"models": []}, {"model": "gpt-nine"}),  # found out after admission
        ({}, {"model": "gpt-nine"}),  # and before
        ({}, {"messages": None}),
    ],
)
def test_what_is_refused_counts_against_no_limit(
    running: Gateway, handmade: Handmade, team: dict[str, Any], more: dict[str, Any]
) -> None:
    key = handmade(team, limits={"requests_per_hour": 2, "max_parallel_requests": 1})
    assert running.ask(key).status_code == 200
    assert all(status >= 400 for status in statuses(running, key, 3, **more))
    row = running.client.find_key(key_hash(key))
    assert row is not None
    (counter,) = running.redis("KEYS", f"tollgate:{{team:{row['team_id']}}}:requests:*").strip("[]'").split(",")
    assert running.redis("GET", counter) == "1"


def test_what_a_provider_failed_at_counts(running: Gateway, handmade: Handmade) -> None:
    """The twin: it was admitted, and the provider was asked."""
    key = handmade(limits={"requests_per_hour": 2})
    assert statuses(running, key, 2, text="[[status=500]] x") == [529, 529]
    assert running.ask(key).status_code == 429


def test_a_refused_request_spends_nothing(running: Gateway, handmade: Handmade) -> None:
    """Its reservation on the budget is given back: a budget worth two answers still buys the second."""
    key = handmade(
        {"budget_limits": [{"budget_duration": "1d", "max_budget": 0.0006}]}, limits={"max_parallel_requests": 1}
    )
    mark = uuid.uuid4().hex
    forget(running)
    with ThreadPoolExecutor(1) as others:
        slow = others.submit(running.ask, key, text=f"[[tokens=40 tps=6]] Take your time, {mark}.")
        # Not before it has the slot, for whoever asks first gets it: the provider is asked only after that.
        eventually(lambda: any(mark in str(one["body"]) for one in recorded(running)), within=30, every=0.05)
        assert statuses(running, key, 5) == [429] * 5
        assert slow.result().status_code == 200
    assert running.ask(key).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_as_many_run_at_once_as_the_limit_says(running: Gateway, handmade: Handmade, stream: bool) -> None:
    key = handmade(limits={"max_parallel_requests": 2})
    with ThreadPoolExecutor(6) as callers:
        asked = [callers.submit(running.ask, key, text=SLOW, stream=stream) for _ in range(6)]
        assert sorted(one.result().status_code for one in asked) == [200, 200, 429, 429, 429, 429]


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
    with httpx.stream("POST", url, json=body, headers=headers, timeout=60, trust_env=False) as answer:
        pieces = answer.iter_bytes()  # kept: forgotten, it would hang up
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
def test_a_models_money_is_spent_by_any_of_its_names(running: Gateway, handmade: Handmade, stream: bool) -> None:
    key = handmade({"models": ["test-model", "another-name"]}, limits=CAP)
    refused = spend_until_refused(running, key, model="another-name", stream=stream)
    assert refused.json()["error"]["type"] == "billing_error"
    assert "on model test-model has spent $0.000" in refused.json()["error"]["message"]
    assert running.ask(key).status_code == 429


def test_another_models_money_is_not_touched(running: Gateway, handmade: Handmade) -> None:
    """The twin: the cap is on a model that nobody asked for."""
    key = handmade(limits={"per_model": {"dead-model": {"1d": 0.0003}}})
    assert statuses(running, key, 5) == [200] * 5


def test_a_flushed_redis_does_not_reopen_a_models_window(running: Gateway, handmade: Handmade) -> None:
    key = handmade(limits=CAP)
    spend_until_refused(running, key)
    row = running.client.find_key(key_hash(key))
    assert row is not None
    booked = 'SELECT sum(spend) FROM "LiteLLM_DailyTeamSpend" WHERE team_id = %s'
    eventually(lambda: (running.sql(booked, row["team_id"])[0][0] or 0) >= 0.0003, within=60, every=0.5)
    counter = running.redis("KEYS", f"tollgate:{{team:{row['team_id']}}}:spend:*").strip("[]'")
    running.redis("DEL", counter)
    assert running.ask(key).status_code == 429


# ---- the response cache


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("asked", [{}, {"namespace": "everybody"}])
def test_no_tenant_gets_anothers_cached_answer(
    running: Gateway, handmade: Handmade, path: str, asked: dict[str, str]
) -> None:
    mine, others = handmade(), handmade()
    wanted = {"path": path, "text": f"once {uuid.uuid4()}", "cache": {"use-cache": True, **asked}}
    metadata = {"metadata": {"redis_namespace": "everybody"}} if asked else {}

    def id_of(key: Secret) -> str:
        answer = running.ask(key, **wanted, **metadata)
        assert answer.status_code == 200
        return str(answer.json()["id"])

    given = {id_of(mine)}

    def again() -> bool:
        """An answer is written to the cache after it has gone out; who asks before that gets, and keeps, another."""
        answer = id_of(mine)
        cached = answer in given
        given.add(answer)
        return cached

    # The twin: the cache works, for whom the answer was made.
    eventually(again, within=30)
    assert id_of(others) not in given
