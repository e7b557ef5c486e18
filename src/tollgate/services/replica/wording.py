"""Which refusal an error is, and its sentence: by what LiteLLM raised, and whether the key had been admitted.

The table, with what Claude Code does with each row, is docs/refusals.md; tests/unit/test_replica_wording.py holds an
answer of the real LiteLLM for every row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from tollgate.services.hooks.ongoing import Ongoing
from tollgate.services.hooks.refusal import Refusal, budget_spent, rate_limited
from tollgate.services.hooks.tenant_limits import key_name, owner, plural, spent_message, tenant_name
from tollgate.services.hooks.windows import OF_DURATION, window
from tollgate.services.replica.unwrap import harmless, message_of, unwrap

OPERATOR = "Tell whoever runs this gateway, with the request id."
# Where nobody said when to ask again.
TRY_AGAIN_S = 5

# What OpenAI's client raises, which LiteLLM's exceptions derive from; its own transports'; httpx's.
_PROVIDERS_ERRORS = ("OpenAIError", "BaseLLMException", "HTTPStatusError", "TransportError")
_ABOUT_KEYS = ("token_not_found_in_db", "expired_key", "auth_error")
_MODEL_REFUSED = re.compile(r"_model_access_denied$")
_OVER_WINDOW = re.compile(r"over (\w+) budget|:window:(\w+)")
_COOLDOWN = re.compile(r"Try again in ([\d.]+) seconds")
_CURRENT_LIMIT = re.compile(r"Current limit: (\d+)")
# LiteLLM's own count, before anything was sent; of several targets the roomiest counts.
_TOO_LONG = re.compile(r"Max Input Tokens=(\d+), Got=(\d+)")


# What LiteLLM's own failure is worded as; replica/shape.py then looks whether the request was one that it can handle.
MAYBE_THE_REQUEST = ("gateway_failed", "provider_failed")
_CANNOT_COUNT = "Error getting number of tokens from content list"


def malformed(wrong: str) -> Refusal:
    return Refusal(400, "invalid_request_error", "invalid_request", f"The gateway cannot read this request: {wrong}.")


def refusal_of(ongoing: Ongoing, status: int, answer: Any, now: datetime | None = None) -> Refusal:
    """`answer` is the body LiteLLM was about to send, parsed where it is JSON."""
    if ongoing.refusal is not None:
        return ongoing.refusal
    text = message_of(answer) or str(ongoing.error or "")
    if ongoing.admitted:
        return _after_admission(ongoing, status, text)
    return _before_admission(ongoing, status, text, _type_of(answer), now or datetime.now(UTC))


# ---- LiteLLM's authentication refused: the key, its tenant, its money or its model


def _before_admission(ongoing: Ongoing, status: int, text: str, kind: str, now: datetime) -> Refusal:
    if kind == "budget_exceeded" or _is(ongoing.error, "BudgetExceededError"):
        return _budget(ongoing, text, now)
    if status == 401 and ongoing.error is None and kind not in _ABOUT_KEYS:
        return _from_the_provider(None, status, text)  # of counting tokens LiteLLM tells no callback
    if status == 401:
        return _about_the_key(ongoing.caller, text, kind)
    if kind == "model_cost_map_missing":
        message = f"This model has no price, so no budget could hold it, and the gateway does not serve it. {OPERATOR}"
        return Refusal(403, "permission_error", "model_without_price", message)
    if _MODEL_REFUSED.search(kind):
        return _model_not_allowed(ongoing)
    if status == 403:
        return Refusal(403, "permission_error", "route_not_allowed", "This key may not use this route of the gateway.")
    if _CANNOT_COUNT in text:
        return malformed("messages: a content block of a type that it cannot count")
    if status in (502, 503, 504):
        return _overloaded("gateway_unavailable", "The gateway cannot check keys at the moment. Try again.")
    return _failed() if status >= 500 else _as_it_came(status, text)


def _about_the_key(caller: Any, text: str, kind: str) -> Refusal:
    """None says "x-api-key": Claude Code would tell its user to log in instead of showing the sentence."""
    whose = f'Key "{key_name(caller)}" of tenant "{tenant_name(caller)}"' if caller is not None else "This key"
    code, message = (
        "key_unknown",
        "This gateway does not know this key. Check it for typing errors, or ask for a new one.",
    )
    if kind == "expired_key":
        code, message = "key_expired", f"{whose} expired{_when(caller)}. Ask for a new one."
    elif "is blocked" in text and (getattr(caller, "team_blocked", False) or "Team=" in text):
        ask = owner(caller) or "whoever runs this gateway"
        code = "tenant_suspended"
        message = f'Tenant "{tenant_name(caller)}" is suspended: none of its keys work until it is resumed. Ask {ask}.'
    elif "is blocked" in text:
        code, message = "key_revoked", f"{whose} was revoked. Ask for a new one."
    elif "No api key passed" in text:
        code = "key_missing"
        message = "No key was sent. Set ANTHROPIC_AUTH_TOKEN, or send Authorization: Bearer and your key."
    return Refusal(401, "authentication_error", code, message)


def _when(caller: Any) -> str:
    """LiteLLM has the time as text or as a time."""
    expires = getattr(caller, "expires", None)
    if isinstance(expires, str):
        expires = datetime.fromisoformat(expires)
    return f" on {expires:%b} {expires.day} {expires:%Y}" if isinstance(expires, datetime) else ""


def _model_not_allowed(ongoing: Ongoing) -> Refusal:
    """Also for a model that does not exist: nobody learns which models others have. A 404 would lose the sentence, and
    Claude Code asks six times after a 400."""
    who = f'Tenant "{tenant_name(ongoing.caller)}"' if tenant_name(ongoing.caller) else "This gateway"
    named = "".join(letter for letter in ongoing.model[:100] if letter.isprintable())
    message = (
        f'{who} has no model "{named}" here. GET /v1/models lists those it may use; choose with /model or --model.'
    )
    return Refusal(403, "permission_error", "model_not_allowed", message)


def _budget(ongoing: Ongoing, text: str, now: datetime) -> Refusal:
    error, caller = ongoing.error, ongoing.caller
    spent, limit = getattr(error, "current_cost", None), getattr(error, "max_budget", None)
    whole = getattr(error, "entity_type", None) != "key"
    who = f'tenant "{tenant_name(caller)}"' if whole else f'key "{key_name(caller)}" of tenant "{tenant_name(caller)}"'
    unit = OF_DURATION.get(_duration(text, caller, whole))
    if spent is None or limit is None or unit is None:
        message = f"The budget of {who} is spent. Ask whoever runs this gateway for more."
        return Refusal(429, "billing_error", "budget_exceeded", message)
    inside = window(unit, now)
    message = spent_message(who, spent, limit, inside, owner(caller))
    return budget_spent("budget_exceeded", message, inside.seconds_left(now), inside.resets_at, inside.adjective)


def _duration(text: str, caller: Any, whole: bool) -> str:
    """LiteLLM names the window where it is one of several; without a name it is the main budget, a tenant's month."""
    found = _OVER_WINDOW.search(text)
    if found:
        return found[1] or found[2]
    return "1mo" if whole else str(getattr(caller, "budget_duration", None) or "")


# ---- the key was right: a limit of a minute, the router, the provider, or what was asked


def _after_admission(ongoing: Ongoing, status: int, text: str) -> Refusal:
    error = ongoing.error
    if _is(error, "ProxyRateLimitError"):
        return _a_minutes_limit(ongoing, text)
    if _is(error, "RouterRateLimitError", "RouterRateLimitErrorBasic") or "No deployments available" in text:
        return _overloaded("model_unavailable", "No target of this model answers at the moment.", _cooldown(text))
    if _is(error, "ProxyModelNotFoundError") or "Invalid model name passed in" in text:
        return _model_not_allowed(ongoing)
    if "_pre_call_checks" in text and (found := _TOO_LONG.findall(text)):
        room, got = max(int(one[0]) for one in found), found[0][1]
        # Anthropic's words: Claude Code compacts the conversation when it reads them.
        message = f"prompt is too long: {got} tokens > {room} maximum"
        return Refusal(400, "invalid_request_error", "invalid_request", message)
    if _is(error, *_PROVIDERS_ERRORS):
        refusal = replace(_from_the_provider(error, status, text), counts=True)
        return _with_its_words(refusal, text) if _is_operator(ongoing.caller) else refusal
    if _CANNOT_COUNT in text:
        return malformed("messages: a content block of a type that it cannot count")
    return _failed() if status >= 500 else _as_it_came(status, text)


def _is_operator(caller: Any) -> bool:
    """Whoever holds the master key, as `tollgate models test` does."""
    role = getattr(caller, "user_role", None)
    return str(getattr(role, "value", role)) == "proxy_admin"


def _with_its_words(refusal: Refusal, text: str) -> Refusal:
    words = harmless(unwrap(text))
    return refusal if words in refusal.message else replace(refusal, message=f"{refusal.message} It said: {words}")


def _a_minutes_limit(ongoing: Ongoing, text: str) -> Refusal:
    error, caller = ongoing.error, ongoing.caller
    left = ongoing.reopens_in if ongoing.reopens_in is not None else 60
    kind = getattr(error, "rate_limit_type", None) or "requests"
    what = str(getattr(kind, "value", kind))
    found = _CURRENT_LIMIT.search(text)
    used = plural(int(found[1]), what.removesuffix("s")) if found else what
    who = f'Tenant "{tenant_name(caller)}"'
    if getattr(error, "descriptor_key", "") == "api_key":
        who = f'Key "{key_name(caller)}" of tenant "{tenant_name(caller)}"'
    return rate_limited(f"{what}_per_minute", f"{who} has used its {used} per minute. It can go on in {left} s.", left)


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
    """What is wrong with the request itself, in the words of whoever found it: clients look for them."""
    kinds = {404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error")
    return Refusal(status, kind, kind.removesuffix("_error"), harmless(unwrap(text)) or "This is no valid request.")


def _failed() -> Refusal:
    """A fault of LiteLLM's or ours. Its text is for the log: it can hold anything."""
    return Refusal(500, "api_error", "gateway_failed", f"The gateway could not handle this request. {OPERATOR}")


def _overloaded(code: str, message: str, retry_after: int = TRY_AGAIN_S) -> Refusal:
    """Claude Code asks three times after a 529 and eleven times after any other 5xx."""
    return Refusal(529, "overloaded_error", code, message, retry=True, retry_after=retry_after)


def _type_of(answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, Mapping) else None
    return str(error.get("type", "")) if isinstance(error, Mapping) else ""


def _is(error: Exception | None, *names: str) -> bool:
    """By name: LiteLLM's classes are there only in its own image."""
    return error is not None and any(one.__name__ in names for one in type(error).__mro__)


def _cooldown(text: str) -> int:
    found = _COOLDOWN.search(text)
    return min(60, max(1, math.ceil(float(found[1])))) if found else TRY_AGAIN_S


def _retry_after(error: Exception | None) -> int | None:
    """What the provider asked for, in seconds; at most a minute."""
    sent = getattr(error, "litellm_response_headers", None) or {}
    value = str(sent.get("retry-after", ""))
    return min(60, max(1, math.ceil(float(value)))) if re.fullmatch(r"\d+(\.\d+)?", value) else None
