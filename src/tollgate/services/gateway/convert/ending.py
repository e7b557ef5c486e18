"""Why an answer ended, in the words of the Messages API."""

from __future__ import annotations

from typing import Any, NamedTuple

from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError

LENGTH = ("length", "max_tokens", "model_length")
REFUSAL = ("content_filter", "refusal", "safety")
# The upstream gave up: OpenRouter's `error` (https://openrouter.ai/docs/api-reference/streaming), vLLM's `abort`,
# DeepSeek's `insufficient_system_resource` (https://api-docs.deepseek.com/api/create-chat-completion).
FAILURES = {"error": "error", "abort": "cut", "cancelled": "cut", "insufficient_system_resource": "overloaded"}


class Ending(NamedTuple):
    stop_reason: str
    stop_sequence: str | None = None


def is_length(finish: str) -> bool:
    return finish in LENGTH


def read(choice: Json, request: Json, *, calls: bool, refused: bool) -> Ending:
    """The end that `choice.finish_reason` and its neighbours tell. Many servers say "stop" after tool calls.

    A matched stop sequence is named by vLLM (`stop_reason`); OpenRouter passes on that there was one
    (`native_finish_reason`), which is enough where the client gave only one. Raises UpstreamFailedError.
    """
    finish = choice.get("finish_reason")
    if not isinstance(finish, str):
        finish = "stop"
    if finish in FAILURES:
        raise UpstreamFailedError(FAILURES[finish], finish)
    if is_length(finish):
        return Ending("max_tokens")
    if refused or finish in REFUSAL:
        return Ending("refusal")
    if calls:
        return Ending("tool_use")
    if matched := _matched(choice, request):
        return Ending("stop_sequence", matched)
    return Ending("end_turn")


def _matched(choice: Json, request: Json) -> str | None:
    stops: Any = request.get("stop_sequences")
    if not isinstance(stops, list) or not stops:
        return None
    matched = choice.get("stop_reason")
    if isinstance(matched, str) and matched in stops:
        return matched
    if choice.get("native_finish_reason") == "stop_sequence" and len(stops) == 1 and isinstance(stops[0], str):
        return stops[0]
    return None
