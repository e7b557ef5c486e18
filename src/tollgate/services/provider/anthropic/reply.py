"""Answers in the form of the Messages API: a whole message, the events of a stream, errors, the list of models.

A stream has message_start; for each block content_block_start, its deltas (one per token) and content_block_stop; then
message_delta with the stop reason, the results of safeguards and the usage; then message_stop. A ping follows the
first block's start.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from tollgate.services.provider import tokens
from tollgate.services.provider.answers import Answer, Block, Stop, Text, Thinking, ToolCall
from tollgate.services.provider.anthropic.safeguards import Safeguards
from tollgate.services.provider.api_errors import ApiError, Kind
from tollgate.services.provider.catalogue import MODELS, Model
from tollgate.services.provider.prompt import InputUsage, JsonObject
from tollgate.services.provider.sse import Frame, frame

STOP_REASONS: dict[Stop, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool": "tool_use",
    "refusal": "refusal",
}
ERRORS: dict[Kind, tuple[str, str]] = {
    "invalid_request": ("invalid_request_error", "Invalid request"),
    "authentication": ("authentication_error", "invalid x-api-key"),
    "billing": ("billing_error", "There's an issue with your billing or payment information"),
    "permission": ("permission_error", "Your API key does not have permission to use the specified resource"),
    "not_found": ("not_found_error", "Not Found"),
    "timeout": ("timeout_error", "Request timed out"),
    "too_large": ("request_too_large", "Request exceeds the maximum size"),
    "rate_limit": ("rate_limit_error", "Number of requests has exceeded your rate limit"),
    "server": ("api_error", "Internal server error"),
    "overloaded": ("overloaded_error", "Overloaded"),
}
_NONE_ASKED = Safeguards()


def message(
    answer: Answer, usage: InputUsage, *, reply_id: str, model: str, safeguards: Safeguards = _NONE_ASKED
) -> JsonObject:
    return {
        **_opening(reply_id, model),
        "content": [_block(block, reply_id, place) for place, block in enumerate(_sent(answer))],
        **_ending(answer),
        **safeguards.fields(_calls(answer, reply_id)),
        "usage": _usage(usage, answer.tokens),
    }


def events(
    answer: Answer, usage: InputUsage, *, reply_id: str, model: str, safeguards: Safeguards = _NONE_ASKED
) -> Iterator[Frame]:
    opening = {**_opening(reply_id, model), "usage": _usage(usage, min(1, answer.tokens))}
    yield _event("message_start", message=opening)
    blocks = _sent(answer)
    if not blocks:
        yield _event("ping")
    for place, block in enumerate(blocks):
        head = tokens.count(block.name) if isinstance(block, ToolCall) else 0
        start = _block(block, reply_id, place, empty=True)
        yield _event("content_block_start", carries=head, index=place, content_block=start)
        if place == 0:
            yield _event("ping")
        for delta, carries in _deltas(block):
            yield _event("content_block_delta", carries=carries, index=place, delta=delta)
        yield _event("content_block_stop", index=place)
    ending = _ending(answer) | safeguards.fields(_calls(answer, reply_id))
    yield _event("message_delta", delta=ending, usage=_usage(usage, answer.tokens))
    yield _event("message_stop")


def envelope(refusal: ApiError, request_id: str) -> JsonObject:
    kind, words = ERRORS[refusal.kind]
    error = {"type": kind, "message": refusal.message or words}
    return {"type": "error", "error": error, "request_id": request_id}


def error_event(refusal: ApiError, request_id: str) -> Frame:
    return frame(envelope(refusal, request_id), event="error")


def headers(request_id: str) -> dict[str, str]:
    return {"request-id": request_id}


def models() -> JsonObject:
    entries = [model_entry(model) for model in MODELS]
    return {"data": entries, "has_more": False, "first_id": entries[0]["id"], "last_id": entries[-1]["id"]}


def model_entry(model: Model) -> JsonObject:
    return {"type": "model", "id": model.id, "display_name": model.name, "created_at": "2026-01-01T00:00:00Z"}


def _opening(reply_id: str, model: str) -> JsonObject:
    return {
        "id": f"msg_{reply_id}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _ending(answer: Answer) -> JsonObject:
    ending: JsonObject = {"stop_reason": STOP_REASONS[answer.stop], "stop_sequence": answer.stop_sequence}
    if answer.stop == "refusal":
        ending["stop_details"] = {"type": "refusal", "category": None, "explanation": "Refused for its content"}
    return ending


def _usage(usage: InputUsage, output: int) -> JsonObject:
    written = {"5m": 0, "1h": 0, usage.cache_ttl: usage.cache_write}
    return {
        "input_tokens": usage.uncached,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": written["5m"],
            "ephemeral_1h_input_tokens": written["1h"],
        },
        "output_tokens": output,
        "service_tier": "standard",
    }


def _sent(answer: Answer) -> list[Block]:
    """The blocks that are sent: all except empty texts."""
    return [block for block in answer.blocks if not isinstance(block, Text) or block.text]


def _calls(answer: Answer, reply_id: str) -> list[str]:
    """The ids of the tool calls that are sent."""
    return [_call_id(reply_id, place) for place, block in enumerate(_sent(answer)) if isinstance(block, ToolCall)]


def _call_id(reply_id: str, place: int) -> str:
    return f"toolu_{reply_id}{place:02d}"


def _block(block: Block, reply_id: str, place: int, *, empty: bool = False) -> JsonObject:
    """The block of a whole message, or with `empty` the block that opens a stream."""
    match block:
        case Text(text):
            return {"type": "text", "text": "" if empty else text}
        case Thinking(text, shown):
            signature = "" if empty else block.signature
            return {"type": "thinking", "thinking": text if shown and not empty else "", "signature": signature}
        case ToolCall(name, arguments):
            value = {} if empty else json.loads(arguments)
            return {"type": "tool_use", "id": _call_id(reply_id, place), "name": name, "input": value}


def _deltas(block: Block) -> Iterator[tuple[JsonObject, int]]:
    match block:
        case Text(text):
            for piece in tokens.pieces(text):
                yield {"type": "text_delta", "text": piece}, 1
        case Thinking(text, shown):
            for piece in tokens.pieces(text) if shown else ():
                yield {"type": "thinking_delta", "thinking": piece}, 1
            yield {"type": "signature_delta", "signature": block.signature}, 0 if shown else block.tokens
        case ToolCall(_, arguments):
            yield {"type": "input_json_delta", "partial_json": ""}, 0
            for piece in tokens.pieces(arguments):
                yield {"type": "input_json_delta", "partial_json": piece}, 1


def _event(kind: str, *, carries: int = 0, **fields: object) -> Frame:
    return frame({"type": kind, **fields}, event=kind, carries=carries)
