"""Our refusal for every recorded error of the real LiteLLM. tests/contract/litellm/test_refusals.py records again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tollgate.services.hooks.ongoing import Ongoing
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.replica.wording import refusal_of

RECORDED = json.loads((Path(__file__).parents[3] / "fixtures" / "refusals" / "litellm-1.108.10.json").read_text())
NOW = datetime(2026, 11, 21, 13, 26, tzinfo=UTC)
MIDNIGHT = 10 * 3600 + 34 * 60

KEY = (401, "authentication_error", False, None)
MODEL = (403, "permission_error", False, None)
MINUTE = (429, "rate_limit_error", True, 17)
INVALID = (400, "invalid_request_error", False, None)
ACCOUNT = (502, "api_error", False, None)
DOWN = (529, "overloaded_error", True, 5)


def spent(retry_after: int) -> tuple[int, str, bool, int]:
    return 429, "billing_error", False, retry_after


# Case -> status, type, x-should-retry, retry-after; and a part of the message.
ROWS: dict[str, tuple[tuple[int, str, bool, int | None], str]] = {
    "key unknown": (KEY, "does not know this key"),
    "key missing": (KEY, "No key was sent"),
    "key malformed": (KEY, "does not know this key"),
    "key blocked": (KEY, 'Key "alice" of tenant "blockedkey" was revoked'),
    "tenant suspended": (KEY, 'Tenant "suspended" is suspended: none of its keys work until it is resumed. Ask lead@'),
    "key expired": (KEY, 'Key "alice" of tenant "expired" expired on Nov 21 2026'),
    "model not in team": (MODEL, 'Tenant "narrow" has no model "gpt-nine" here'),
    "model not in key": (MODEL, 'Tenant "keynarrow" has no model "gpt-nine" here'),
    "model unknown, messages": (MODEL, 'Tenant "open" has no model "gpt-nine" here'),
    "model unknown, chat": (MODEL, 'Tenant "open" has no model "gpt-nine" here'),
    "route not allowed": (MODEL, "may not use this route"),
    "tenant over its day": (
        spent(MIDNIGHT),
        "daily budget of $0.0001. It reopens Nov 22 00:00 UTC; for more before then",
    ),
    "tenant over its week": (spent(MIDNIGHT + 86400), "weekly budget of $0.0001. It reopens Nov 23 00:00 UTC"),
    "tenant over its month": (spent(MIDNIGHT + 9 * 86400), "monthly budget of $0.0001. It reopens Dec 1 00:00 UTC"),
    "key over its day": (spent(MIDNIGHT), 'Key "alice" of tenant "key_day" has spent $0.0001 of its daily budget'),
    "key over its month": (spent(MIDNIGHT + 9 * 86400), 'Key "alice" of tenant "key_month" has spent'),
    "tenant over requests a minute, messages": (MINUTE, 'Tenant "rpm" has used its 1 request per minute'),
    "tenant over requests a minute, chat": (MINUTE, 'Tenant "rpm" has used its 1 request per minute'),
    "key over requests a minute, messages": (MINUTE, 'Key "alice" of tenant "krpm" has used its 1 request per minute'),
    "key over requests a minute, chat": (MINUTE, 'Key "alice" of tenant "krpm" has used its 1 request per minute'),
    "tenant over tokens a minute, messages": (MINUTE, 'Tenant "tpm" has used its 60 tokens per minute'),
    "tenant over tokens a minute, chat": (MINUTE, 'Tenant "tpm" has used its 60 tokens per minute'),
    "provider 400, messages": (INVALID, "Invalid request"),
    "provider 400, chat": (INVALID, "Invalid request."),
    "provider 401, messages": (ACCOUNT, "refused the gateway's own account, not your key"),
    "provider 401, chat": (ACCOUNT, "refused the gateway's own account, not your key"),
    "provider 402, messages": (ACCOUNT, "refused the gateway's own account"),
    "provider 402, chat": (ACCOUNT, "refused the gateway's own account"),
    "provider 403, messages": (ACCOUNT, "refused the gateway's own account"),
    "provider 403, chat": (ACCOUNT, "refused the gateway's own account"),
    "provider 404, messages": (ACCOUNT, "does not have the model that the gateway's configuration names"),
    "provider 404, chat": (ACCOUNT, "does not have the model that the gateway's configuration names"),
    "provider 413, messages": ((413, "request_too_large", False, None), "Request exceeds the maximum size"),
    "provider 413, chat": ((413, "request_too_large", False, None), "Request body is too large."),
    "provider 422, messages": ((422, "invalid_request_error", False, None), "Invalid request"),
    "provider 422, chat": ((422, "invalid_request_error", False, None), "Invalid request."),
    "provider 429, messages": ((429, "rate_limit_error", True, 5), "is limiting this gateway"),
    "provider 429, chat": ((429, "rate_limit_error", True, 5), "is limiting this gateway"),
    "provider 500, messages": (DOWN, "did not answer properly"),
    "provider 500, chat": (DOWN, "did not answer properly"),
    "provider 503, messages": (DOWN, "did not answer properly"),
    "provider 503, chat": (DOWN, "did not answer properly"),
    "provider 529, messages": (DOWN, "did not answer properly"),
    "provider 529, chat": (DOWN, "did not answer properly"),
    "provider hangs up, messages": (DOWN, "did not answer properly"),
    "provider hangs up, chat": (DOWN, "did not answer properly"),
    "body is no JSON": (INVALID, "Invalid JSON payload"),
    "messages missing, messages": (INVALID, "Missing required parameter: 'messages'"),
    "messages missing, chat": (INVALID, "Missing required parameter: 'messages'"),
    "messages missing, count_tokens": (INVALID, "messages parameter is required"),
    "messages is text, chat": (INVALID, "'str' object has no attribute 'get'"),
    "body is a list": ((500, "api_error", False, None), "could not handle this request"),
    "max_tokens missing, messages": (INVALID, "Missing required parameter: 'max_tokens'"),
}


def ongoing_of(case: dict[str, Any]) -> Ongoing:
    """The request as our callbacks get it: LiteLLM's exception by its class names, and LiteLLM's caller."""
    caller = case["caller"]
    if caller is not None:
        caller = SimpleNamespace(
            **caller,
            team_alias=None,
            metadata={"name": "alice"},
            team_metadata={"owner": "lead@example.com"},
        )
    return Ongoing(
        caller=caller, admitted=case["admitted"], error=exception_of(case["error"]), reopens_in=17, model="gpt-nine"
    )


def exception_of(recorded: dict[str, Any] | None) -> Exception | None:
    if recorded is None:
        return None
    kind: type[Exception] = Exception
    for name in reversed([name for name in recorded["classes"] if name != "Exception"]):
        kind = type(name, (kind,), {})
    error = kind(recorded["text"])
    for name, value in recorded["attributes"].items():
        setattr(error, name, value)
    return error


def worded(name: str) -> Refusal:
    case = RECORDED[name]
    return refusal_of(ongoing_of(case), case["status"], case["answer"], NOW)


@pytest.mark.parametrize("name", ROWS)
def test_each_refusal_is_right_for_clients(name: str) -> None:
    (status, kind, retry, retry_after), sentence = ROWS[name]
    refusal = worded(name)
    assert (refusal.status, refusal.kind, refusal.retry, refusal.retry_after) == (status, kind, retry, retry_after)
    assert sentence in refusal.message


def test_every_recorded_refusal_has_a_row() -> None:
    assert ROWS.keys() == RECORDED.keys()


@pytest.mark.parametrize("name", RECORDED)
def test_no_message_shows_internals(name: str) -> None:
    message = worded(name).message.lower()
    for secret in ("litellm", "exception", "x-api-key", "a" * 64, "model group", "test-model", "deployment", "http"):
        assert secret not in message
    assert len(message) > 10 or name.startswith("provider 4")


@pytest.mark.parametrize("name", RECORDED)
def test_only_requests_that_reached_a_provider_count_against_limits(name: str) -> None:
    assert worded(name).counts == (name.startswith("provider") or name == "messages is text, chat")


def test_a_spent_budget_has_the_headers_of_anthropics_own_gateway() -> None:
    headers = dict(worded("tenant over its month").headers)
    assert headers["anthropic-ratelimit-unified-status"] == "rejected"
    assert headers["anthropic-ratelimit-unified-reset"] == str(int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()))
    assert headers["anthropic-ratelimit-unified-overage-period"] == "monthly"
    assert "anthropic-ratelimit-unified-representative-claim" not in headers


def test_a_providers_words_that_clients_look_for_are_kept() -> None:
    inner = (
        '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}'
    )
    text = f"litellm.BadRequestError: AnthropicException - {inner}. Received Model Group=big\nAvailable Model Group"
    case = {**RECORDED["provider 400, messages"], "answer": {"type": "error", "error": {"message": text}}}
    refusal = refusal_of(ongoing_of(case), 400, case["answer"], NOW)
    assert refusal.message == "prompt is too long: 9 tokens > 8 maximum"


def test_when_all_targets_cool_down_it_is_overload_with_a_time() -> None:
    """LiteLLM's 429 would mean a limit of the tenant. And the message has no ids of deployments."""
    text = "No deployments available for selected model, Try again in 5 seconds. Passed model=m. cooldown_list=['m:x']"
    ongoing = Ongoing(
        admitted=True, error=exception_of({"classes": ["RouterRateLimitError"], "text": text, "attributes": {}})
    )
    refusal = refusal_of(ongoing, 429, {"type": "error", "error": {"type": "rate_limit_error", "message": text}})
    assert (refusal.status, refusal.kind, refusal.retry_after, refusal.counts) == (529, "overloaded_error", 5, False)
    assert "m:x" not in refusal.message


def test_a_401_means_something_else_after_admission() -> None:
    """The twin: without the note of admission, a provider's refusal would say that the tenant's key is wrong."""
    case = RECORDED["provider 401, messages"]
    unnoted = Ongoing(error=exception_of(case["error"]))
    assert refusal_of(unnoted, 401, case["answer"], NOW).status == 401
    assert worded("provider 401, messages").status == 502


def test_a_provider_that_refuses_to_count_tokens_does_not_blame_the_key() -> None:
    """LiteLLM calls no callback there, so admission and error are unknown."""
    body = {"type": "error", "error": {"type": "authentication_error", "message": "invalid x-api-key"}}
    assert refusal_of(Ongoing(), 401, body).code == "provider_refused_gateway"


def test_a_hooks_refusal_is_sent_unchanged() -> None:
    ours = Refusal(429, "rate_limit_error", "requests_per_hour", "Wait.")
    assert refusal_of(Ongoing(refusal=ours, admitted=True), 429, {}, NOW) is ours


def test_an_unreachable_database_is_overload() -> None:
    body = {"error": {"message": "Service Unavailable", "type": "no_db_connection", "code": "503"}}
    assert refusal_of(Ongoing(), 503, body, NOW).status == 529


TOO_LONG = (
    "litellm.ContextWindowExceededError: litellm.BadRequestError: litellm._pre_call_checks: Context Window exceeded "
    "for given call. No models have context window large enough for this call.\n"
    "Model=hosted_vllm/a, Max Input Tokens=100, Got=512Model=hosted_vllm/b, Max Input Tokens=300, Got=512"
)


def test_a_prompt_too_long_for_every_target_has_anthropics_message() -> None:
    ongoing = Ongoing(admitted=True)
    refusal = refusal_of(ongoing, 400, {"error": {"message": TOO_LONG}}, NOW)
    assert (refusal.status, refusal.kind) == (400, "invalid_request_error")
    assert refusal.message == "prompt is too long: 512 tokens > 300 maximum"


@pytest.mark.parametrize(("role", "shown"), [("proxy_admin", True), ("internal_user", False), (None, False)])
def test_only_the_operator_gets_the_providers_message(role: str | None, shown: bool) -> None:
    error = type("AuthenticationError", (type("OpenAIError", (Exception,), {}),), {})("nope")
    ongoing = Ongoing(admitted=True, caller=SimpleNamespace(user_role=role), error=error)
    text = "litellm.AuthenticationError: AnthropicException - your account at https://x.example was closed"
    refusal = refusal_of(ongoing, 401, {"error": {"message": text}}, NOW)
    assert refusal.status == 502
    assert ("your account at [address] was closed" in refusal.message) == shown
