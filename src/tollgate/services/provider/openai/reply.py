"""Answers in the form of the OpenAI API: a whole chat completion, the chunks of a stream, errors, models."""

from __future__ import annotations

from collections.abc import Iterator

from tollgate.services.provider import tokens
from tollgate.services.provider.answers import Answer, Stop, Text, ToolCall
from tollgate.services.provider.api_errors import ApiError, Kind
from tollgate.services.provider.catalogue import MODELS, Model
from tollgate.services.provider.prompt import InputUsage, JsonObject
from tollgate.services.provider.sse import Frame, frame

# A fixed time, so the same request gets the same bytes.
CREATED = 1_767_225_600
DONE = Frame(b"data: [DONE]\n\n")

FINISH_REASONS: dict[Stop, str] = {
    "end": "stop",
    "length": "length",
    "stop_sequence": "stop",
    "tool": "tool_calls",
    "refusal": "content_filter",
}
# kind → the envelope's type, code and words
ERRORS: dict[Kind, tuple[str, str | None, str]] = {
    "invalid_request": ("invalid_request_error", None, "Invalid request."),
    "authentication": ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "billing": ("insufficient_quota", "insufficient_quota", "You exceeded your current quota."),
    "permission": (
        "invalid_request_error",
        "permission_denied",
        "You have insufficient permissions for this operation.",
    ),
    "not_found": (
        "invalid_request_error",
        "model_not_found",
        "The model does not exist or you do not have access to it.",
    ),
    "timeout": ("server_error", "timeout", "Request timed out."),
    "too_large": ("invalid_request_error", "request_too_large", "Request body is too large."),
    "rate_limit": ("requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "server": ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    "overloaded": ("server_error", "overloaded", "The engine is currently overloaded, please try again later."),
}


def completion(answer: Answer, usage: InputUsage, *, reply_id: str, model: str) -> JsonObject:
    calls = [
        {"id": _call_id(reply_id, place), "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
        for place, c in enumerate(_calls(answer))
    ]
    text = _text(answer)
    message: JsonObject = {"role": "assistant", "content": None if calls else text, "refusal": None, "annotations": []}
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH_REASONS[answer.stop]}
    return {**_opening(reply_id, model, "chat.completion"), "choices": [choice], "usage": _usage(usage, answer.tokens)}


def chunks(answer: Answer, usage: InputUsage, *, reply_id: str, model: str, with_usage: bool) -> Iterator[Frame]:
    """The role, one piece per token, the finish reason, the usage if `with_usage`, and [DONE]."""
    opening = _opening(reply_id, model, "chat.completion.chunk")
    empty = {"usage": None} if with_usage else {}

    def chunk(delta: JsonObject, *, carries: int = 0, finish: str | None = None) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return frame({**opening, "choices": [choice], **empty}, carries=carries)

    calls = _calls(answer)
    yield chunk({"role": "assistant", "content": None if calls else "", "refusal": None})
    for piece in () if calls else tokens.pieces(_text(answer)):
        yield chunk({"content": piece}, carries=1)
    for place, call in enumerate(calls):
        head = {"index": place, "id": _call_id(reply_id, place), "type": "function"}
        head["function"] = {"name": call.name, "arguments": ""}
        yield chunk({"tool_calls": [head]}, carries=tokens.count(call.name))
        for piece in tokens.pieces(call.arguments):
            yield chunk({"tool_calls": [{"index": place, "function": {"arguments": piece}}]}, carries=1)
    yield chunk({}, finish=FINISH_REASONS[answer.stop])
    if with_usage:
        yield frame({**opening, "choices": [], "usage": _usage(usage, answer.tokens)})
    yield DONE


def envelope(refusal: ApiError, request_id: str) -> JsonObject:  # the id is only in a header
    kind, code, words = ERRORS[refusal.kind]
    return {
        "error": {
            "message": refusal.message or words,
            "type": kind,
            "param": refusal.param,
            "code": refusal.code or code,
        }
    }


def error_event(refusal: ApiError, request_id: str) -> Frame:
    return frame(envelope(refusal, request_id))


def headers(request_id: str) -> dict[str, str]:
    return {"x-request-id": request_id}


def models() -> JsonObject:
    return {"object": "list", "data": [model_entry(model) for model in MODELS]}


def model_entry(model: Model) -> JsonObject:
    return {"id": model.id, "object": "model", "created": CREATED, "owned_by": "tollgate"}


def _opening(reply_id: str, model: str, kind: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{reply_id}",
        "object": kind,
        "created": CREATED,
        "model": model,
        "system_fingerprint": "fp_embedded",
    }


def _usage(usage: InputUsage, output: int) -> JsonObject:
    return {
        "prompt_tokens": usage.total,
        "completion_tokens": output,
        "total_tokens": usage.total + output,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _text(answer: Answer) -> str:
    return "".join(block.text for block in answer.blocks if isinstance(block, Text))


def _calls(answer: Answer) -> list[ToolCall]:
    return [block for block in answer.blocks if isinstance(block, ToolCall)]


def _call_id(reply_id: str, place: int) -> str:
    return f"call_{reply_id}{place:02d}"
