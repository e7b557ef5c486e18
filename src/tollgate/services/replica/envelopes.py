"""A refusal in the shape of the API that was called: Anthropic's on /v1/messages*, OpenAI's elsewhere."""

from __future__ import annotations

import json

from tollgate.services.hooks.refusal import Refusal

# What OpenAI's API calls what Anthropic's calls otherwise.
_OPENAI_TYPES = {
    "billing_error": "insufficient_quota",
    "permission_error": "invalid_request_error",
    "not_found_error": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "overloaded_error": "api_error",
}
# OpenAI's clients know 503 for what Anthropic's know as 529; nginx answers the same.
_OPENAI_STATUSES = {529: 503}


def is_anthropic(path: str) -> bool:
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def status(refusal: Refusal, anthropic: bool) -> int:
    return refusal.status if anthropic else _OPENAI_STATUSES.get(refusal.status, refusal.status)


def body(refusal: Refusal, anthropic: bool, request_id: str) -> bytes:
    if anthropic:
        error = {"type": refusal.kind, "message": refusal.message}
        return json.dumps({"type": "error", "error": error, "request_id": request_id}, ensure_ascii=False).encode()
    kind = _OPENAI_TYPES.get(refusal.kind, refusal.kind)
    answer = {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}}
    return json.dumps(answer, ensure_ascii=False).encode()


def headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """What a client acts on, the same for both APIs."""
    named = [("x-should-retry", "true" if refusal.retry else "false")]
    if refusal.retry_after is not None:
        named.append(("retry-after", str(refusal.retry_after)))
    return [(name.encode(), value.encode()) for name, value in (*named, *refusal.headers)]


def event(refusal: Refusal, request_id: str) -> bytes:
    """For a stream of Anthropic's that cannot go on."""
    return b"event: error\ndata: " + body(refusal, True, request_id) + b"\n\n"
