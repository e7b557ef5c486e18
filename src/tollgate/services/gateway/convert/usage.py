"""The tokens of an answer, counted by the upstream, in Anthropic's kinds.

Anthropic counts cached tokens beside `input_tokens`, OpenAI inside `prompt_tokens`. Names by server: OpenAI and
OpenRouter `prompt_tokens_details.{cached_tokens, cache_write_tokens}`, DeepSeek `prompt_cache_hit_tokens`
(https://api-docs.deepseek.com/guides/kv_cache), Moonshot `cached_tokens`, llama.cpp `timings`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.requests.estimate import BYTES_PER_TOKEN

# More in one answer is a fault of the upstream, and counts as not counted.
MOST_TOKENS = 1_000_000_000


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind; None where the upstream has not counted. `input` is without cached, `output` with reasoning."""

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None


def read(chunk: Json, *, cached_beside: bool = False) -> Tokens | None:
    """The usage in an answer or a chunk, None without one.

    `cached_beside`: the upstream counts cached tokens beside `prompt_tokens`, as Anthropic does.
    """
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        groq = chunk.get("x_groq")
        usage = groq.get("usage") if isinstance(groq, dict) else None
    if isinstance(usage, dict):
        return _counted(usage, cached_beside)
    timings = chunk.get("timings")
    if isinstance(timings, dict):
        return Tokens(
            input=_tokens(timings, "prompt_n"),
            output=_tokens(timings, "predicted_n"),
            cache_read=_tokens(timings, "cache_n"),
        )
    return None


def _counted(usage: Json, cached_beside: bool) -> Tokens:
    prompt = _tokens(usage, "prompt_tokens", "input_tokens")
    output = _tokens(usage, "completion_tokens", "output_tokens")
    prompt_details = _object(usage, "prompt_tokens_details", "input_tokens_details")
    read_tokens = _tokens(prompt_details, "cached_tokens")
    if read_tokens is None:
        read_tokens = _tokens(usage, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    written = _tokens(prompt_details, "cache_write_tokens", "cache_creation_tokens")
    if written is None:
        written = _tokens(usage, "cache_creation_input_tokens")
    reasoning = _tokens(_object(usage, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
    if output is not None and reasoning and _tokens(usage, "total_tokens") == (prompt or 0) + output + reasoning:
        output += reasoning  # xAI counts reasoning beside completion_tokens: https://docs.x.ai/docs/guides/reasoning
    cached = (read_tokens or 0) + (written or 0)
    if prompt is not None and not cached_beside and cached <= prompt:
        prompt -= cached
    return Tokens(prompt, output, read_tokens, written, reasoning)


def _tokens(counts: Json, *names: str) -> int | None:
    """The first of `names` that is a plausible count."""
    for name in names:
        value = counts.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
            return value
    return None


def _object(usage: Json, *names: str) -> Json:
    for name in names:
        value: Any = usage.get(name)
        if isinstance(value, dict):
            return value
    return {}


def in_messages(tokens: Tokens, *, estimate: int, characters: int) -> Json:
    """The `usage` of a Messages answer. Estimates stand for what the upstream has not counted.

    `estimate` is in input tokens, `characters` what was answered.
    """
    usage: Json = {
        "input_tokens": estimate if tokens.input is None else tokens.input,
        "cache_creation_input_tokens": tokens.cache_write or 0,
        "cache_read_input_tokens": tokens.cache_read or 0,
        "output_tokens": -(-characters // BYTES_PER_TOKEN) if tokens.output is None else tokens.output,
    }
    if tokens.reasoning is not None:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return usage
