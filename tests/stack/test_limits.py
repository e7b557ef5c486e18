"""Limits hold over all replicas: each is refused on replicas that did not see the tenant's first calls."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack.replicas import REPLICAS, ask, handmade
from tests.stack.requests import message
from tests.support import plain
from tests.support.clock import until_the_minute_has_left
from tests.support.eventually import eventually
from tests.support.stack import Stack

FIRST, *OTHERS = REPLICAS


def day(usd: float) -> dict[str, Any]:
    return {"budget_limits": [{"budget_duration": "1d", "max_budget": usd}]}


@pytest.mark.parametrize(
    ("team", "limits", "says"),
    [
        ({}, {"requests_per_minute": 2}, "2 requests per minute"),
        ({}, {"requests_per_hour": 2}, "2 requests per hour"),
        ({}, {"requests_per_day": 2}, "2 requests per day"),
    ],
)
def test_requests_are_counted_for_all_replicas(
    stack: Stack, admin: httpx.Client, team: dict[str, Any], limits: dict[str, Any], says: str
) -> None:
    with handmade(admin, team, limits) as (_, key):
        until_the_minute_has_left()
        assert [answer.status for answer in ask(stack, FIRST, key, 2, body=message())] == [200, 200]
        for replica in OTHERS:
            (refused,) = ask(stack, replica, key, body=message())
            assert refused.status == 429
            assert says in refused.message


def test_twin_without_a_limit_the_others_answer(stack: Stack, admin: httpx.Client) -> None:
    with handmade(admin, {}) as (_, key):
        for replica in REPLICAS:
            assert [answer.status for answer in ask(stack, replica, key, 3, body=message())] == [200] * 3


@pytest.mark.parametrize(
    ("team", "limits", "says"),
    [
        (day(0.0001), {}, "daily budget"),  # LiteLLM's own, of a team that was made by hand
        ({}, {"daily_limit": 0.0001}, "daily budget"),
        ({}, {"weekly_limit": 0.0001}, "weekly budget"),
        ({}, {"monthly_limit": 0.0001}, "monthly budget"),
        ({}, {"per_model": {"test-model": {"1d": 0.0001}}}, "on model test-model"),
        ({}, {"tokens_per_minute": 120}, "120 tokens per minute"),
    ],
)
def test_money_and_tokens_are_counted_for_all_replicas(
    stack: Stack, admin: httpx.Client, team: dict[str, Any], limits: dict[str, Any], says: str
) -> None:
    with handmade(admin, team, limits) as (_, key):
        until_the_minute_has_left()

        def spent() -> bool:
            answer = ask(stack, FIRST, key, body=message())[0]
            return answer.status == 429 and "may need the rest" not in answer.message

        assert not spent()
        eventually(spent, within=30)
        for replica in OTHERS:
            (refused,) = ask(stack, replica, key, body=message())
            assert refused.status == 429
            assert says in refused.message


def test_requests_at_once_are_counted_for_all_replicas(stack: Stack, admin: httpx.Client) -> None:
    # Long enough for nine clients to begin before the first of them ends.
    slow = message("[[tokens=40 tps=8]] Take your time.")
    with handmade(admin, {}, {"max_parallel_requests": 2}) as (_, key), ThreadPoolExecutor(9) as callers:
        headers = {"x-api-key": key}

        def call(_: int) -> int:
            url = f"{stack.url}/v1/messages"
            return plain.post(url, json=slow, headers=headers, timeout=60, trust_env=False).status_code

        assert sorted(callers.map(call, range(9))) == [200, 200, *[429] * 7]
        assert call(0) == 200


def test_a_suspended_tenant_is_refused_by_all_replicas(stack: Stack, admin: httpx.Client) -> None:
    with handmade(admin, {}) as (tenant, key):
        for replica in REPLICAS:  # each has it in its memory now
            assert ask(stack, replica, key, body=message())[0].status == 200
        admin.post("/team/block", json={"team_id": tenant}).raise_for_status()
        admin.post("/key/block", json={"key": key}).raise_for_status()

        def refused() -> bool:
            answers = [ask(stack, replica, key, body=message())[0] for replica in REPLICAS]
            return all(answer.status == 401 and "is suspended" in answer.message for answer in answers)

        eventually(refused, within=10)


@pytest.mark.parametrize(
    "path",
    [
        "/key/info?key={other}",
        "/key/list",
        "/team/info?team_id=contractor",
        "/team/list",
        "/spend/logs?api_key={other}",
        "/global/spend/report",
        "/user/info",
        "/model/info",
    ],
)
def test_a_tenant_sees_nothing_of_anothers_spend_or_keys(stack: Stack, path: str) -> None:
    """Also past nginx, which has no such routes."""
    other = hashlib.sha256(stack.key("contractor").encode()).hexdigest()
    (answer,) = ask(stack, FIRST, stack.key("hasty"), path=path.format(other=other))
    assert answer.status in (401, 403)
    assert other not in answer.text


def test_a_tenant_cannot_use_anothers_model(stack: Stack, admin: httpx.Client) -> None:
    with handmade(admin, {"models": ["another-model"]}) as (_, key):
        for replica in REPLICAS:
            (answer,) = ask(stack, replica, key, body=message())
            assert answer.status == 403
        (listed,) = ask(stack, FIRST, key, path="/v1/models")
        assert "test-model" not in listed.text
