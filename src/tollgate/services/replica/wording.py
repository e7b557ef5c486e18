"""Finds the refusal for an error and its message: from LiteLLM's exception, and whether the key was admitted.

docs/refusals.md has the table, with the reaction of Claude Code to each row. The tests in
tests/unit/services/replica/test_wording.py have an answer of the real LiteLLM for every row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tollgate.services.hooks.names import key_name, owner, tenant_name
from tollgate.services.hooks.ongoing import Ongoing
from tollgate.services.limits.windows import OF_DURATION, window
from tollgate.services.limits.words import plural, spent_message
from tollgate.services.refusals import door
from tollgate.services.refusals.refusal import Refusal, budget_spent, rate_limited
from tollgate.services.refusals.upstream_words import harmless, message_of
from tollgate.services.replica.keys import expiry
from tollgate.services.replica.upstream_message import unwrap
from tollgate.services.requests.fields import shown

OPERATOR = "Send the request id to the operator of this gateway."
# The wait if the upstream did not say one.
TRY_AGAIN_S = 5

# Base classes: of OpenAI's client and most of LiteLLM's exceptions; of LiteLLM's own transports; of httpx.
_PROVIDERS_ERRORS = ("OpenAIError", "BaseLLMException", "HTTPStatusError", "TransportError")
_ABOUT_KEYS = ("token_not_found_in_db", "expired_key", "auth_error")
_MODEL_REFUSED = re.compile(r"_model_access_denied$")
_OVER_WINDOW = re.compile(r"over (\w+) budget|:window:(\w+)")
_COOLDOWN = re.compile(r"Try again in ([\d.]+) seconds")
_CURRENT_LIMIT = re.compile(r"Current limit: (\d+)")
# LiteLLM's own count before it sends a request. Of several targets, the one with the largest context counts.
_TOO_LONG = re.compile(r"Max Input Tokens=(\d+), Got=(\d+)")


# Codes of failures that a malformed request can cause. For these, request_body.py checks the request.
MAYBE_THE_REQUEST = ("gateway_failed", "provider_failed")
_CANNOT_COUNT = "Error getting number of tokens from content list"


def refusal_of(ongoing: Ongoing, status: int, answer: Any, now: datetime | None = None) -> Refusal:
    """The refusal for LiteLLM's answer. `answer` is its body, parsed if it is JSON."""
    if ongoing.refusal is not None:
        return ongoing.refusal
    text = message_of(answer) or str(ongoing.error or "")
    if ongoing.admitted:
        return _after_admission(ongoing, status, text)
    return _before_admission(ongoing, status, text, _type_of(answer), now or datetime.now(UTC))


# ---- LiteLLM's authentication refused the key, its tenant, its budget or its model


def _before_admission(ongoing: Ongoing, status: int, text: str, kind: str, now: datetime) -> Refusal:
    if kind == "budget_exceeded" or _is(ongoing.error, "BudgetExceededError"):
        return _budget(ongoing, text, now)
    if status == 401 and ongoing.error is None and kind not in _ABOUT_KEYS:
        return _from_the_provider(None, status, text)  # LiteLLM calls no callback for count_tokens
    if status == 401:
        return _about_the_key(ongoing.caller, text, kind)
    if kind == "model_cost_map_missing":
        message = f"This model has no price, so budgets cannot count it and the gateway does not serve it. {OPERATOR}"
        return Refusal(403, "permission_error", "model_without_price", message)
    if _MODEL_REFUSED.search(kind):
        return _model_not_allowed(ongoing)
    if status == 403:
        return door.route_not_allowed()
    if _CANNOT_COUNT in text:
        return door.malformed("messages: a content block of a type that it cannot count")
    if status in (502, 503, 504):
        return door.keys_away()
    return _failed() if status >= 500 else _as_it_came(status, text)


def _about_the_key(caller: Any, text: str, kind: str) -> Refusal:
    whose = f'Key "{key_name(caller)}" of tenant "{tenant_name(caller)}"' if caller is not None else "This key"
    if kind == "expired_key":
        return door.key_expired(whose, expiry(caller))
    if "is blocked" in text and (getattr(caller, "team_blocked", False) or "Team=" in text):
        return door.tenant_suspended(tenant_name(caller), owner(caller))
    if "is blocked" in text:
        return door.key_revoked(whose)
    return door.key_missing() if "No api key passed" in text else door.key_unknown()


def _model_not_allowed(ongoing: Ongoing) -> Refusal:
    return door.model_not_allowed(tenant_name(ongoing.caller), shown(ongoing.model))


def _budget(ongoing: Ongoing, text: str, now: datetime) -> Refusal:
    error, caller = ongoing.error, ongoing.caller
    spent, limit = getattr(error, "current_cost", None), getattr(error, "max_budget", None)
    of_tenant = getattr(error, "entity_type", None) != "key"
    who = (
        f'tenant "{tenant_name(caller)}"'
        if of_tenant
        else f'key "{key_name(caller)}" of tenant "{tenant_name(caller)}"'
    )
    unit = OF_DURATION.get(_duration(text, caller, of_tenant))
    if spent is None or limit is None or unit is None:
        message = f"The budget of {who} is spent. Ask the operator of this gateway for more."
        return Refusal(429, "billing_error", "budget_exceeded", message)
    inside = window(unit, now)
    message = spent_message(who, spent, limit, inside, owner(caller))
    return budget_spent("budget_exceeded", message, inside.seconds_left(now), inside.resets_at, inside.adjective)


def _duration(text: str, caller: Any, of_tenant: bool) -> str:
    """The window from LiteLLM's text. If it names none, the main budget is spent: for a tenant, the month."""
    match = _OVER_WINDOW.search(text)
    if match:
        return match[1] or match[2]
    return "1mo" if of_tenant else str(getattr(caller, "budget_duration", None) or "")


# ---- the key was accepted; a limit per minute, the router, the provider or the request itself is the cause


def _after_admission(ongoing: Ongoing, status: int, text: str) -> Refusal:
    error = ongoing.error
    if _is(error, "ProxyRateLimitError"):
        return _limit_per_minute(ongoing, text)
    if _is(error, "RouterRateLimitError", "RouterRateLimitErrorBasic") or "No deployments available" in text:
        return _overloaded("model_unavailable", "No target of this model answers at the moment.", _cooldown(text))
    if _is(error, "ProxyModelNotFoundError") or "Invalid model name passed in" in text:
        return _model_not_allowed(ongoing)
    if "_pre_call_checks" in text and (targets := _TOO_LONG.findall(text)):
        room, got = max(int(most) for most, _ in targets), targets[0][1]
        # Anthropic's words: Claude Code looks for them, and then compacts the conversation.
        message = f"prompt is too long: {got} tokens > {room} maximum"
        return Refusal(400, "invalid_request_error", "invalid_request", message)
    if _is(error, *_PROVIDERS_ERRORS):
        refusal = replace(_from_the_provider(error, status, text), counts=True)
        return _with_upstream_message(refusal, text) if _is_operator(ongoing.caller) else refusal
    if _CANNOT_COUNT in text:
        return door.malformed("messages: a content block of a type that it cannot count")
    return _failed() if status >= 500 else _as_it_came(status, text)


def _is_operator(caller: Any) -> bool:
    """Whether the caller has the master key; `tollgate models test` has it."""
    role = getattr(caller, "user_role", None)
    return str(getattr(role, "value", role)) == "proxy_admin"


def _with_upstream_message(refusal: Refusal, text: str) -> Refusal:
    words = harmless(unwrap(text))
    return refusal if words in refusal.message else replace(refusal, message=f"{refusal.message} It said: {words}")


def _limit_per_minute(ongoing: Ongoing, text: str) -> Refusal:
    error, caller = ongoing.error, ongoing.caller
    left = ongoing.reopens_in if ongoing.reopens_in is not None else 60
    kind = getattr(error, "rate_limit_type", None) or "requests"
    what = str(getattr(kind, "value", kind))
    match = _CURRENT_LIMIT.search(text)
    used = plural(int(match[1]), what.removesuffix("s")) if match else what
    who = f'Tenant "{tenant_name(caller)}"'
    if getattr(error, "descriptor_key", "") == "api_key":
        who = f'Key "{key_name(caller)}" of tenant "{tenant_name(caller)}"'
    return rate_limited(f"{what}_per_minute", f"{who} has used its {used} per minute. Try again in {left} s.", left)


def _from_the_provider(error: Exception | None, status: int, text: str) -> Refusal:
    if status in (401, 402, 403):
        message = f"The provider of this model refused the gateway's own account, not your key. {OPERATOR}"
        return Refusal(502, "api_error", "provider_refused_gateway", message)
    if status == 404:
        message = f"The provider does not have the model that the gateway's configuration names. {OPERATOR}"
        return Refusal(502, "api_error", "provider_model_missing", message)
    if status == 429:
        message = "The provider of this model is limiting this gateway. Try again in a moment."
        return rate_limited("provider_rate_limit", message, _retry_after(error) or TRY_AGAIN_S)
    if status >= 500 or status == 408:
        message = "The provider of this model did not answer properly. Try again; if it lasts, choose another model."
        return _overloaded("provider_failed", message, _retry_after(error) or TRY_AGAIN_S)
    return _as_it_came(status, text)


def _as_it_came(status: int, text: str) -> Refusal:
    """A problem of the request itself, with the upstream's or LiteLLM's message: clients look for its words."""
    kinds = {404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error")
    return Refusal(status, kind, kind.removesuffix("_error"), harmless(unwrap(text)) or "This request is not valid.")


def _failed() -> Refusal:
    """An error in LiteLLM or in Tollgate. Its text can contain anything, so it is only in the log."""
    return Refusal(500, "api_error", "gateway_failed", f"The gateway could not handle this request. {OPERATOR}")


def _overloaded(code: str, message: str, retry_after: int = TRY_AGAIN_S) -> Refusal:
    """A 529, after which Claude Code asks three times. After any other 5xx it asks eleven times."""
    return Refusal(529, "overloaded_error", code, message, retry=True, retry_after=retry_after)


def _type_of(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, Mapping) else None
    return str(error.get("type", "")) if isinstance(error, Mapping) else ""


def _is(error: Exception | None, *names: str) -> bool:
    """Compare class names, because LiteLLM's classes exist only in its own image."""
    return error is not None and any(kind.__name__ in names for kind in type(error).__mro__)


def _cooldown(text: str) -> int:
    match = _COOLDOWN.search(text)
    return min(60, max(1, math.ceil(float(match[1])))) if match else TRY_AGAIN_S


def _retry_after(error: Exception | None) -> int | None:
    """The provider's retry-after in seconds, from 1 to 60; None without one."""
    sent = getattr(error, "litellm_response_headers", None) or {}
    value = str(sent.get("retry-after", ""))
    return min(60, max(1, math.ceil(float(value)))) if re.fullmatch(r"\d+(\.\d+)?", value) else None
