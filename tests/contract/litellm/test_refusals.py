"""Every refusal asked of the real LiteLLM through our layer: an upgrade that changes what it raises turns red here.

tests/unit/test_replica_wording.py has what LiteLLM 1.108.10 answered; this asks it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contract.litellm.gateway import Gateway
from tests.support.eventually import eventually
from tollgate.config.secret import Secret

pytestmark = pytest.mark.docker

PATHS = ("/v1/messages", "/v1/chat/completions")
Handmade = Callable[..., Secret]


def error(answer: httpx.Response) -> tuple[int, str, str | None, bool]:
    """Status, type, x-should-retry, and whether there is a retry-after. The shape is checked on the way."""
    said = answer.json()
    if answer.request.url.path.startswith("/v1/messages"):
        assert (said["type"], said["request_id"]) == ("error", answer.headers["request-id"])
    else:
        assert set(said["error"]) == {"message", "type", "param", "code"}
    for inside in ("litellm", "exception", "provider:8080", "hosted_vllm", "model group", "x-api-key"):
        assert inside not in said["error"]["message"].lower()
    shown = answer.headers.get("x-should-retry")
    return answer.status_code, said["error"]["type"], shown, "retry-after" in answer.headers


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
    answer = httpx.post(f"{running.url}/v1/messages", json={"model": "test-model"}, timeout=60, trust_env=False)
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
    ("team", "key", "window"),
    [
        ({"budget_limits": [{"budget_duration": "1d", "max_budget": 0.0001}]}, {}, "daily"),
        ({"budget_limits": [{"budget_duration": "7d", "max_budget": 0.0001}]}, {}, "weekly"),
        ({"max_budget": 0.0001, "budget_duration": "1mo"}, {}, "monthly"),
        ({}, {"budget_limits": [{"budget_duration": "1d", "max_budget": 0.0001}]}, "daily"),
        ({}, {"max_budget": 0.0001, "budget_duration": "1mo"}, "monthly"),
    ],
)
def test_a_spent_budget(
    running: Gateway, handmade: Handmade, path: str, team: dict[str, Any], key: dict[str, Any], window: str
) -> None:
    secret = handmade(team, key)

    def refused() -> httpx.Response | None:
        answer = running.ask(secret, path)
        return answer if answer.status_code != 200 else None

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
    assert running.ask(secret, path).status_code == 200
    answer = running.ask(secret, path)
    left = int(answer.headers["retry-after"])
    assert error(answer) == (429, "rate_limit_error", "true" if left <= 60 else "false", True)
    assert says in message(answer)
    assert 1 <= left <= (60 if "minute" in message(answer) else 86400)


def test_a_minute_that_has_begun_ends_sooner(running: Gateway, handmade: Handmade) -> None:
    """LiteLLM itself always says 60."""
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
def test_what_a_provider_answers(running: Gateway, handmade: Handmade, status: int, stream: bool) -> None:
    key = handmade()
    assert error(running.ask(key, text=f"[[status={status}]] x", stream=stream)) == PROVIDER[status]
    answer = running.ask(key, "/v1/chat/completions", text=f"[[status={status}]] x", stream=stream)
    expected, _, retry, later = PROVIDER[status]
    got, _, got_retry, got_later = error(answer)
    assert (got, got_retry, got_later) == (503 if expected == 529 else expected, retry, later)


def test_a_provider_that_hangs_up_or_is_not_there(running: Gateway, handmade: Handmade) -> None:
    key = handmade({"models": ["test-model", "dead-model"]})
    assert error(running.ask(key, text="[[drop]] x")) == DOWN
    assert error(running.ask(key, model="dead-model")) == DOWN


def test_a_providers_words_about_the_request_are_kept(running: Gateway, handmade: Handmade) -> None:
    said = message(running.ask(handmade(), text="[[status=400]] x"))
    assert said == "Invalid request"


@pytest.mark.parametrize("body", [b"{nope", b'{"model":"test-model"}', b'{"model":"test-model","messages":[]}'])
@pytest.mark.parametrize("path", [*PATHS, "/v1/messages/count_tokens"])
def test_a_request_that_is_none(running: Gateway, handmade: Handmade, path: str, body: bytes) -> None:
    headers = {"x-api-key": handmade().reveal(), "content-type": "application/json"}
    answer = httpx.post(running.url + path, content=body, headers=headers, timeout=60, trust_env=False)
    if answer.status_code != 200:  # a provider may take no messages at all
        assert error(answer) == (400, "invalid_request_error", "false", False)


def test_a_stream_that_breaks_ends_with_an_event(running: Gateway, handmade: Handmade) -> None:
    # Slowly: a break that LiteLLM sees together with the first words is an error without a stream.
    answer = running.ask(handmade(), text="[[drop=after:3 tps=4]] x", stream=True)
    assert answer.status_code == 200
    *_, name, data = [line for line in answer.text.splitlines() if line]
    assert name == "event: error"
    said = json.loads(data.removeprefix("data: "))
    assert (said["type"], said["error"]["type"]) == ("error", "overloaded_error")
    assert said["request_id"] == answer.headers["request-id"]


def test_the_management_api_keeps_litellms_own_errors(running: Gateway) -> None:
    """The twin: the same wrong key, and nothing of ours in the answer."""
    headers = {"Authorization": "Bearer sk-nobody-0123456789abcdef"}
    answer = httpx.get(f"{running.url}/team/list", headers=headers, timeout=60, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["error"]["type"] == "token_not_found_in_db"
    assert "x-should-retry" not in answer.headers
