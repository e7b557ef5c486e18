"""Every refusal of the real LiteLLM through our layer. If an upgrade changes LiteLLM's errors, a test fails here.

tests/unit/services/replica/test_wording.py has the answers of LiteLLM 1.108.10; this file requests them again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contract.litellm.gateway import Gateway
from tests.support import plain
from tests.support.clock import until_the_minute_has_left
from tests.support.eventually import eventually
from tollgate.config.secret import Secret

pytestmark = pytest.mark.docker

PATHS = ("/v1/messages", "/v1/chat/completions")
Handmade = Callable[..., Secret]


def error(answer: httpx.Response) -> tuple[int, str, str | None, bool]:
    """Status, type, x-should-retry, and whether there is a retry-after. It also checks the form of the answer."""
    body = answer.json()
    if answer.request.url.path.startswith("/v1/messages"):
        assert (body["type"], body["request_id"]) == ("error", answer.headers["request-id"])
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
    for inside in ("litellm", "exception", "provider:8080", "hosted_vllm", "model group", "x-api-key"):
        assert inside not in body["error"]["message"].lower()
    shown = answer.headers.get("x-should-retry")
    return answer.status_code, body["error"]["type"], shown, "retry-after" in answer.headers


def message(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("key", "says"), [("sk-nobody-0123456789abcdef", "does not know this key"), ("nonsense", "does not know this key")]
)
def test_an_unknown_key(running: Gateway, path: str, key: str, says: str) -> None:
    answer = running.ask(Secret(key), path)
    assert error(answer) == (401, "authentication_error", "false", False)
    assert says in message(answer)


def test_no_key_at_all(running: Gateway) -> None:
    answer = plain.post(f"{running.url}/v1/messages", json={"model": "test-model"}, timeout=60, trust_env=False)
    assert error(answer)[:3] == (401, "authentication_error", "false")
    assert "No key was sent" in message(answer)


def test_a_revoked_key_and_a_suspended_tenant_are_told_apart(running: Gateway, handmade: Handmade) -> None:
    revoked, suspended = handmade(), handmade()
    for key in (revoked, suspended):
        assert running.ask(key).status_code == 200
    running.client.block_key(digest(revoked))
    row = running.client.find_key(digest(suspended))
    assert row is not None
    running.client.update_team(row["team_id"], {"blocked": True})
    running.client.block_key(digest(suspended))
    for key, says in ((revoked, "was revoked"), (suspended, "is suspended")):
        answer = running.ask(key)
        assert error(answer) == (401, "authentication_error", "false", False)
        assert says in message(answer)


def digest(key: Secret) -> str:
    from tollgate.reconcile.desired import key_hash

    return key_hash(key)


def test_an_expired_key(running: Gateway, handmade: Handmade) -> None:
    key = handmade(key={"duration": "1s"})

    def expired() -> httpx.Response | None:
        answer = running.ask(key)
        return answer if answer.status_code != 200 else None

    answer = eventually(expired, within=20)
    assert error(answer) == (401, "authentication_error", "false", False)
    assert 'Key "alice"' in message(answer) and "expired on " in message(answer)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("team", [{"models": ["test-model"]}, {"models": []}])
@pytest.mark.parametrize("model", ["gpt-nine", "dead-model"])
def test_a_model_that_is_not_the_tenants(
    running: Gateway, handmade: Handmade, path: str, team: dict[str, Any], model: str
) -> None:
    if team["models"] == [] and model == "dead-model":
        pytest.skip("a tenant without a list has every model there is")
    answer = running.ask(handmade(team), path, model=model)
    kind = "permission_error" if path == "/v1/messages" else "invalid_request_error"
    assert error(answer) == (403, kind, "false", False)
    assert f'no model "{model}" here' in message(answer)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("budget", "window"),
    [
        ({"limits": {"daily_limit": 0.0001}}, "daily"),
        ({"limits": {"weekly_limit": 0.0001}}, "weekly"),
        ({"key_limits": {"monthly_limit": 0.0001}}, "monthly"),
        # LiteLLM's own budgets, of a team and a key that were made by hand
        ({"team": {"budget_limits": [{"budget_duration": "1d", "max_budget": 0.0001}]}}, "daily"),
        ({"key": {"max_budget": 0.0001, "budget_duration": "1mo"}}, "monthly"),
    ],
)
def test_a_spent_budget(running: Gateway, handmade: Handmade, path: str, budget: dict[str, Any], window: str) -> None:
    secret = handmade(**budget)

    def refused() -> httpx.Response | None:
        """Not because LiteLLM has not booked the first call yet"""
        answer = running.ask(secret, path)
        return answer if answer.status_code != 200 and "may need the rest" not in message(answer) else None

    answer = eventually(refused, within=30)
    kind = "billing_error" if path == "/v1/messages" else "insufficient_quota"
    assert error(answer) == (429, kind, "false", True)
    assert f"of its {window} budget of $0.0001. It reopens " in message(answer)
    assert "lead@example.com" in message(answer)
    assert answer.headers["anthropic-ratelimit-unified-overage-period"] == window
    assert int(answer.headers["retry-after"]) <= 31 * 86400


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("team", "key", "limits", "key_limits", "says"),
    [
        ({"rpm_limit": 1}, {}, {}, {}, "has used its 1 request per minute"),
        ({}, {"rpm_limit": 1}, {}, {}, 'Key "alice" of tenant'),
        ({"tpm_limit": 60}, {}, {}, {}, "has used its 60 tokens per minute"),
        ({}, {}, {"requests_per_minute": 1}, {}, "has used its 1 request per minute"),
        ({}, {}, {"requests_per_hour": 1}, {}, "has used its 1 request per hour"),
        ({}, {}, {}, {"requests_per_day": 1}, 'Key "alice" has used its 1 request per day'),
    ],
)
def test_a_limit_of_requests(
    running: Gateway,
    handmade: Handmade,
    path: str,
    team: dict[str, Any],
    key: dict[str, Any],
    limits: dict[str, Any],
    key_limits: dict[str, Any],
    says: str,
) -> None:
    secret = handmade(team, key, limits, key_limits)
    until_the_minute_has_left()
    assert running.ask(secret, path).status_code == 200
    answer = running.ask(secret, path)
    left = int(answer.headers["retry-after"])
    assert error(answer) == (429, "rate_limit_error", "true" if left <= 60 else "false", True)
    assert says in message(answer)
    assert 1 <= left <= (60 if "minute" in message(answer) else 86400)


def test_retry_after_is_the_rest_of_the_minute(running: Gateway, handmade: Handmade) -> None:
    """LiteLLM itself always sends 60."""
    secret = handmade({"rpm_limit": 1})
    assert running.ask(secret).status_code == 200
    eventually(lambda: int(running.ask(secret).headers["retry-after"]) < 60, within=10)


ACCOUNT, DOWN = (502, "api_error", "false", False), (529, "overloaded_error", "true", True)
PROVIDER = {
    400: (400, "invalid_request_error", "false", False),
    401: ACCOUNT,
    402: ACCOUNT,
    403: ACCOUNT,
    404: ACCOUNT,
    413: (413, "request_too_large", "false", False),
    422: (422, "invalid_request_error", "false", False),
    429: (429, "rate_limit_error", "true", True),
    500: DOWN,
    503: DOWN,
    529: DOWN,
}


@pytest.mark.parametrize("status", PROVIDER)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_of_the_provider(running: Gateway, handmade: Handmade, status: int, stream: bool) -> None:
    key = handmade()
    assert error(running.ask(key, text=f"[[status={status}]] x", stream=stream)) == PROVIDER[status]
    answer = running.ask(key, "/v1/chat/completions", text=f"[[status={status}]] x", stream=stream)
    expected, _, retry, later = PROVIDER[status]
    got, _, got_retry, got_later = error(answer)
    assert (got, got_retry, got_later) == (503 if expected == 529 else expected, retry, later)


def test_a_provider_that_disconnects_or_is_unreachable(running: Gateway, handmade: Handmade) -> None:
    key = handmade({"models": ["test-model", "dead-model"]})
    assert error(running.ask(key, text="[[drop]] x")) == DOWN
    assert error(running.ask(key, model="dead-model")) == DOWN


def test_a_providers_words_about_the_request_are_kept(running: Gateway, handmade: Handmade) -> None:
    answer = running.ask(handmade(), text="[[status=400]] x")
    assert message(answer) == "Invalid request"


@pytest.mark.parametrize("body", [b"{nope", b'{"model":"test-model"}', b'{"model":"test-model","messages":[]}'])
@pytest.mark.parametrize("path", [*PATHS, "/v1/messages/count_tokens"])
def test_a_malformed_request(running: Gateway, handmade: Handmade, path: str, body: bytes) -> None:
    headers = {"x-api-key": handmade().reveal(), "content-type": "application/json"}
    answer = plain.post(running.url + path, content=body, headers=headers, timeout=60, trust_env=False)
    if answer.status_code != 200:  # a provider may accept a request without messages
        assert error(answer) == (400, "invalid_request_error", "false", False)


def test_a_stream_that_breaks_ends_with_an_event(running: Gateway, handmade: Handmade) -> None:
    # The stream must be slow: if LiteLLM sees the break with the first words, it answers with an error and no stream.
    answer = running.ask(handmade(), text="[[drop=after:3 tps=4]] x", stream=True)
    assert answer.status_code == 200
    *_, name, data = [line for line in answer.text.splitlines() if line]
    assert name == "event: error"
    event = json.loads(data.removeprefix("data: "))
    assert (event["type"], event["error"]["type"]) == ("error", "overloaded_error")
    assert event["request_id"] == answer.headers["request-id"]


def test_the_management_api_keeps_litellms_own_errors(running: Gateway) -> None:
    """The twin: our layer does not change LiteLLM's own refusals there. The guard already refuses an unknown key."""
    answer = running.get(running.master_key, "/team/info?team_id=nobody-has-this-team")
    assert answer.status_code == 404
    assert "nobody-has-this-team" in answer.text
    assert "x-should-retry" not in answer.headers
    stranger = running.get(Secret("sk-nobody-0123456789abcdef"), "/team/list")
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "key_unknown")
