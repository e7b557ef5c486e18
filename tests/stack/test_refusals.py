"""The refusals and their shapes. docs/facts.md 4 describes shapes and codes; these tests measure them again."""

from __future__ import annotations

import httpx
import pytest

from tests.stack.requests import chat, message
from tests.support import plain
from tests.support.clock import until_the_day_has_left
from tests.support.eventually import eventually
from tests.support.stack import Stack

ADMIN_ROUTES = (
    "/key/generate",
    "/key/info",
    "/team/new",
    "/team/list",
    "/user/new",
    "/spend/logs",
    "/model/info",
    "/config/yaml",
    "/metrics",
    "/metrics/",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/ui/",
    "/sso/key/generate",
    "/health/readiness",
    "/routes",
    "/debug/asyncio-tasks",
    "/anthropic/v1/messages",
    "//key/generate",
    "/v1/../key/generate",
    "/v1/messages/%2e%2e/%2e%2e/key/generate",
    "/KEY/generate",
    "/v1%2fmessages",
)


def as_tenant(stack: Stack, tenant: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {stack.key(tenant)}"}
    return plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False)


@pytest.mark.parametrize(
    "credential",
    [{}, {"Authorization": "Bearer sk-wrong-0123456789abcdef"}, {"x-api-key": "sk-wrong-0123456789abcdef"}],
)
@pytest.mark.parametrize(("path", "body"), [("/v1/messages", message()), ("/v1/chat/completions", chat())])
def test_without_a_right_key_nothing_is_answered(
    stack: Stack, path: str, body: dict[str, object], credential: dict[str, str]
) -> None:
    answer = plain.post(f"{stack.url}{path}", json=body, headers=credential, timeout=60, trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["x-should-retry"] == "false"
    said = answer.json()
    assert said["error"]["type"] == "authentication_error"
    assert ("request_id" in said) == (path == "/v1/messages")
    assert said.get("request_id", answer.headers["request-id"]) == answer.headers["request-id"]


def test_a_right_key_is_answered(gateway: httpx.Client) -> None:
    """The twin of the refusals: the same request with the right key passes."""
    assert gateway.post("/v1/messages", json=message()).status_code == 200
    assert gateway.post("/v1/chat/completions", json=chat()).status_code == 200


@pytest.mark.parametrize(("path", "body"), [("/v1/messages", message()), ("/v1/chat/completions", chat())])
def test_a_model_the_tenant_may_not_use_is_refused(gateway: httpx.Client, path: str, body: dict[str, object]) -> None:
    answer = gateway.post(path, json={**body, "model": "gpt-nine"})
    assert answer.status_code == 403
    assert 'Tenant "example" has no model "gpt-nine" here' in answer.json()["error"]["message"]


def test_over_budget_is_refused_on_every_replica(stack: Stack) -> None:
    """The day's budget is worth less than one answer; which replica is asked makes no difference."""
    until_the_day_has_left(90)
    with as_tenant(stack, "pauper") as pauper:
        spending = message("[[tokens=100]] Spend.", max_tokens=200)

        def refused() -> httpx.Response | None:
            answer = pauper.post("/v1/messages", json=spending)
            return answer if answer.status_code != 200 else None

        first = eventually(refused, within=60)
        assert first.status_code == 429
        assert first.json()["error"]["type"] == "billing_error"
        assert 'Tenant "pauper" has spent $' in first.json()["error"]["message"]
        assert first.headers["x-should-retry"] == "false"
        assert first.headers["anthropic-ratelimit-unified-status"] == "rejected"
        assert 0 < int(first.headers["retry-after"]) <= 86400
        assert [pauper.post("/v1/messages", json=spending).status_code for _ in range(9)] == [429] * 9


def test_requests_over_the_rate_limit_are_refused_across_replicas(stack: Stack) -> None:
    with as_tenant(stack, "hasty") as hasty:
        statuses = [hasty.post("/v1/chat/completions", json=chat()).status_code for _ in range(9)]
    # The hour may end in between, which lets three more pass; one replica alone would let nine.
    assert 429 in statuses
    assert statuses.count(200) <= 6
    assert set(statuses) == {200, 429}


@pytest.mark.parametrize("path", ADMIN_ROUTES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_admin_routes_do_not_exist_for_the_public(stack: Stack, path: str, method: str) -> None:
    """Even with the master key."""
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}
    url = httpx.URL(stack.url).copy_with(raw_path=path.encode())
    answer = plain.request(method, url, headers=headers, timeout=60, trust_env=False)
    assert answer.status_code in (404, 400), answer.text
    assert answer.json()["error"]["message"]


def test_admin_routes_exist_for_the_operator(admin: httpx.Client) -> None:
    """The twin: the same routes on the admin listener."""
    assert admin.get("/team/list").status_code == 200


def test_the_admin_listener_wants_the_master_key(stack: Stack) -> None:
    for headers in ({}, {"Authorization": f"Bearer {stack.key('example')}"}):
        answer = plain.get(f"{stack.admin_url}/team/list", headers=headers, timeout=60, trust_env=False)
        assert answer.status_code in (401, 403)


def test_health_needs_no_key_and_tells_nothing_more(stack: Stack) -> None:
    answer = plain.get(f"{stack.url}/gateway/health", timeout=60, trust_env=False)
    assert answer.status_code == 200
    assert set(answer.json()) == {"status", "proxy_backend", "version", "route"}


def test_litellms_own_health_answers_the_operator_from_background_checks(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.secret('litellm_master_key')}"}

    def answered() -> bool:
        answer = plain.get(f"{stack.url}/health", headers=headers, timeout=60, trust_env=False)
        return answer.status_code == 200 and "healthy_count" in answer.json()

    assert eventually(answered, within=60)
    assert plain.get(f"{stack.url}/health", timeout=60, trust_env=False).status_code == 401


def test_a_tenant_learns_from_health_about_its_own_models_only(stack: Stack, gateway: httpx.Client) -> None:
    answer = gateway.get("/health")
    assert answer.status_code == 200
    assert {row["model"].rpartition("/")[2] for row in answer.json()["healthy_endpoints"]} <= {"test-model"}
    assert "api_base" not in answer.text
    assert "provider:8080" not in answer.text
