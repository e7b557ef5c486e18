"""Refusals before a request is processed: of its key, its route, its model and its body."""

from __future__ import annotations

from datetime import datetime

from tollgate.services.refusals.refusal import Refusal, rate_limited

KEY_MISSING = "No key was sent. Set ANTHROPIC_AUTH_TOKEN, or send Authorization: Bearer and your key."
KEY_UNKNOWN = "This gateway does not know this key. Check it for typing errors, or ask for a new one."


def key_missing() -> Refusal:
    return _not_admitted("key_missing", KEY_MISSING)


def key_unknown() -> Refusal:
    """No message about a key may contain "x-api-key": Claude Code would hide it and tell its user to log in."""
    return _not_admitted("key_unknown", KEY_UNKNOWN)


def key_expired(whose: str, expires: datetime | None = None) -> Refusal:
    when = f" on {expires:%b} {expires.day} {expires:%Y}" if expires else ""
    return _not_admitted("key_expired", f"{whose} expired{when}. Ask for a new one.")


def key_revoked(whose: str) -> Refusal:
    return _not_admitted("key_revoked", f"{whose} was revoked. Ask for a new one.")


def tenant_suspended(tenant: str, ask: str) -> Refusal:
    message = f'Tenant "{tenant}" is suspended: none of its keys work until it is resumed. '
    return _not_admitted("tenant_suspended", message + f"Ask {ask or 'the operator of this gateway'}.")


def too_many_strangers(seconds: int) -> Refusal:
    message = f"Too many unknown keys came from this address. Check your key, and try again in {seconds} s."
    return rate_limited("too_many_unknown_keys", message, seconds)


def keys_away() -> Refusal:
    message = "The gateway cannot check keys at the moment. Try again."
    return Refusal(529, "overloaded_error", "gateway_unavailable", message, retry=True, retry_after=5)


def gateways_away() -> Refusal:
    """nginx asked a replica for what only a gateway process answers, because none took the connection."""
    message = "No gateway process answers at the moment, and only these answer this route. Try again."
    return Refusal(529, "overloaded_error", "gateway_unavailable", message, retry=True, retry_after=5)


def route_not_allowed() -> Refusal:
    return Refusal(403, "permission_error", "route_not_allowed", "This key may not use this route of the gateway.")


def model_not_allowed(tenant: str, name: str) -> Refusal:
    """Also for a model that does not exist, so nobody learns which models other tenants have.

    After a 404 Claude Code would not show the message, and after a 400 it would ask six times. envelopes.py gives it a
    424. `name` must be printable and short.
    """
    who = f'Tenant "{tenant}"' if tenant else "This gateway"
    message = f'{who} has no model "{name}" here. GET /v1/models lists those it may use; choose with /model or --model.'
    return Refusal(403, "permission_error", "model_not_allowed", message)


def malformed(problem: str) -> Refusal:
    return Refusal(400, "invalid_request_error", "invalid_request", f"The gateway cannot read this request: {problem}.")


def body_too_large(most: int) -> Refusal:
    """`most` is in bytes."""
    message = f"The request body is larger than {most // 1024 // 1024} MB, the most this gateway accepts."
    return Refusal(413, "request_too_large", "body_too_large", message)


def encoding_unknown() -> Refusal:
    message = "The gateway cannot read this body: send it plain, or with Content-Encoding gzip."
    return Refusal(415, "invalid_request_error", "encoding_not_supported", message)


def body_too_slow(seconds: float) -> Refusal:
    message = f"The request body did not arrive within {seconds:.0f} s."
    return Refusal(408, "timeout_error", "body_too_slow", message, retry=True)


def no_room() -> Refusal:
    message = "The gateway works on too many large requests at once. Try again in a few seconds."
    return Refusal(529, "overloaded_error", "gateway_full", message, retry=True, retry_after=5)


def _not_admitted(code: str, message: str) -> Refusal:
    return Refusal(401, "authentication_error", code, message)
