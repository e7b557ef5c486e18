"""The abilities of one chat upstream, beyond the plainest chat completion request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# OpenAI refuses more: https://platform.openai.com/docs/api-reference/chat/create, `stop`.
OPENAI_STOPS = 4


@dataclass(frozen=True)
class Options:
    """The abilities of an upstream. The defaults suit OpenAI's own API with a model that does not reason.

    `max_tokens_field`: OpenAI's reasoning models refuse `max_tokens`; most other servers know nothing else.
    `reasoning`: how thinking is asked for. `efforts` are the words the upstream knows, weakest first.
    `reasoning_history`: the field in which the thinking of earlier turns goes back. DeepSeek answers 400 without
    `reasoning_content` once a turn called tools (https://api-docs.deepseek.com/guides/thinking_mode), newer vLLM reads
    `reasoning`, OpenRouter's `reasoning_details` keep signatures
    (https://openrouter.ai/docs/use-cases/reasoning-tokens), and Gemini's own server refuses a call without its
    `extra_content` (https://ai.google.dev/gemini-api/docs/thought-signatures, codex issue 7519).
    `documents`: PDFs as `file` parts. `document_urls`: also by address, which OpenAI does not take in chat completions
    (https://developers.openai.com/api/docs/guides/file-inputs) and OpenRouter does.
    `structured`: the form of `response_format`; without `json_schema` the schema goes into the system prompt as words.
    `sampling`: temperature and top_p; OpenAI's reasoning models refuse them. `top_k` is not an OpenAI field.
    `user`: whether a digest of `metadata.user_id` is sent as `user`.
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    reasoning: Literal["none", "reasoning_effort", "openrouter"] = "none"
    efforts: tuple[str, ...] = ("low", "medium", "high")
    reasoning_history: Literal["none", "reasoning", "reasoning_content", "reasoning_details", "extra_content"] = "none"
    images: bool = True
    documents: bool = False
    document_urls: bool = False
    parallel_tool_calls: bool = True
    stream_options: bool = True
    structured: Literal["json_schema", "json_object", "none"] = "json_schema"
    sampling: bool = True
    top_k: bool = False
    user: bool = True
    stop_limit: int = OPENAI_STOPS
