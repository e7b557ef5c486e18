"""A refusal in the form of the called API: Anthropic's on /v1/messages*, OpenAI's elsewhere."""

from __future__ import annotations

import json
import os
import re
from collections.abc import MutableMapping
from typing import Any

from tollgate.services.refusals.refusal import Refusal

# Anthropic's error types, with their names in OpenAI's API if these differ.
_OPENAI_TYPES = {
    "billing_error": "insufficient_quota",
    "permission_error": "invalid_request_error",
    "not_found_error": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "overloaded_error": "api_error",
}
_NO_REQUEST_ID = re.compile(r"[^A-Za-z0-9._-]")
# OpenAI's clients expect 503 where Anthropic's expect 529. nginx does the same.
_OPENAI_STATUSES = {529: 503}
# After a 403 Claude Code tells its user to log in. After a 424 it shows our words and nothing else (decision 21).
_CLAUDE_CODE_STATUSES = {403: 424}
# Its User-Agent begins so.
CLAUDE_CODE = "claude-cli/"


def is_anthropic(path: str) -> bool:
    return path == "/v1/messages" or path.startswith("/v1/messages/")


def status(refusal: Refusal, scope: MutableMapping[str, Any]) -> int:
    """The number that the client of this request gets. Its User-Agent decides about nothing else."""
    if not is_anthropic(scope["path"]):
        return _OPENAI_STATUSES.get(refusal.status, refusal.status)
    if _header(scope, b"user-agent").startswith(CLAUDE_CODE):
        return _CLAUDE_CODE_STATUSES.get(refusal.status, refusal.status)
    return refusal.status


def body(refusal: Refusal, anthropic: bool, request_id: str) -> bytes:
    if anthropic:
        error = {"type": refusal.kind, "message": refusal.message}
        return json.dumps({"type": "error", "error": error, "request_id": request_id}, ensure_ascii=False).encode()
    kind = _OPENAI_TYPES.get(refusal.kind, refusal.kind)
    answer = {"error": {"message": refusal.message, "type": kind, "param": None, "code": refusal.code}}
    return json.dumps(answer, ensure_ascii=False).encode()


def headers(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """The headers that clients obey, for both APIs."""
    named = [("x-should-retry", "true" if refusal.retry else "false")]
    if refusal.retry_after is not None:
        named.append(("retry-after", str(refusal.retry_after)))
    return [(name.encode(), value.encode()) for name, value in (*named, *refusal.headers)]


def event(refusal: Refusal, request_id: str) -> bytes:
    """The last event of an Anthropic stream that failed."""
    return b"event: error\ndata: " + body(refusal, True, request_id) + b"\n\n"


def request_id(scope: MutableMapping[str, Any]) -> str:
    """The id from nginx, so that its log, our log and the client have the same id."""
    return _NO_REQUEST_ID.sub("", _header(scope, b"x-request-id"))[:128] or os.urandom(16).hex()


def answer(refusal: Refusal, scope: MutableMapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The two ASGI messages of a whole answer, in the form of the API that `scope` calls."""
    anthropic, identity = is_anthropic(scope["path"]), request_id(scope)
    text = body(refusal, anthropic, identity)
    named = [(b"content-type", b"application/json"), (b"content-length", str(len(text)).encode())]
    named += [*headers(refusal), (b"request-id", identity.encode())]
    start = {"type": "http.response.start", "status": status(refusal, scope), "headers": named}
    return start, {"type": "http.response.body", "body": text}


def _header(scope: MutableMapping[str, Any], name: bytes) -> str:
    """The first value of a header, empty if there is none. `name` is in lower case, as ASGI has it."""
    sent = next((value for named, value in scope.get("headers", ()) if named == name), b"")
    return str(sent.decode("latin-1"))
