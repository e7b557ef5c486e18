"""The pieces of a chat answer's message, or of a chunk's delta, whatever the server calls them."""

from __future__ import annotations

from typing import Any

from tollgate.services.gateway.convert import carried
from tollgate.services.gateway.convert.refusal import Json

# DeepSeek, llama.cpp and older vLLM; then OpenRouter, newer vLLM, Ollama, LM Studio
# (https://docs.vllm.ai/en/v0.11.2/features/reasoning_outputs/). Some send both with the same words.
REASONING = ("reasoning_content", "reasoning")


def text(message: Json) -> str:
    """The words of an answer. Mistral sends a list of parts where its model reasons."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(_part_texts(content, "text")) if isinstance(content, list) else ""


def reasoning(message: Json) -> str:
    """The words of the reasoning, from the first field that has any."""
    for name in REASONING:
        words = message.get(name)
        if isinstance(words, str) and words:
            return words
    if text := "".join(carried.detail_text(detail) for detail in details(message)):
        return text
    content = message.get("content")
    return "".join(_part_texts(content, "thinking")) if isinstance(content, list) else ""


def details(message: Json) -> list[Json]:
    """OpenRouter's `reasoning_details` and what Gemini's server adds to calls; [] where there is neither."""
    listed = message.get("reasoning_details")
    details = [detail for detail in listed if carried.is_detail(detail)] if isinstance(listed, list) else []
    for call in calls(message):
        extra = call.get("extra_content")
        if isinstance(extra, dict) and extra:
            details.append({"type": carried.EXTRA, "id": call_id(call), "data": extra})
    return details


def refusal(message: Json) -> str:
    """OpenAI's words instead of an answer."""
    words = message.get("refusal")
    return words if isinstance(words, str) else ""


def calls(message: Json) -> list[Json]:
    """The tool calls, also in the older form of one `function_call`. Entries that are no objects are left out."""
    listed: Any = message.get("tool_calls")
    if isinstance(listed, list) and listed:
        return [call for call in listed if isinstance(call, dict)]
    older = message.get("function_call")
    return [{"index": 0, "function": older}] if isinstance(older, dict) else []


def function(call: Json) -> tuple[str, Any]:
    """Name and arguments of a call; "" and None where they have not come."""
    called = call.get("function")
    if not isinstance(called, dict):
        return "", None
    name = called.get("name")
    return (name if isinstance(name, str) else ""), called.get("arguments")


def characters(message: Json) -> int:
    """The characters of text, refusal, reasoning and arguments."""
    given = [arguments for _, arguments in map(function, calls(message)) if isinstance(arguments, str)]
    return sum(map(len, (text(message), refusal(message), reasoning(message), *given)))


def call_id(call: Json) -> str:
    value = call.get("id")
    return value if isinstance(value, str) else ""


def _part_texts(parts: list[Any], kind: str) -> list[str]:
    values = [part.get(kind) for part in parts if isinstance(part, dict) and part.get("type") == kind]
    inside = [inner.get("text") for value in values if isinstance(value, list) for inner in value if _is_text(inner)]
    return [value for value in [*values, *inside] if isinstance(value, str)]


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"
