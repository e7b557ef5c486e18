"""Failures of an upstream, as one exception whose words are ours.

An upstream's own words name other models, hosts and accounts, so a client never reads them. `detail` keeps their
beginning for the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

DETAIL_LETTERS = 500
MOST_DEPTH = 4
# kind: (error type of the Messages API, sentence). The kind may be a metric label. Claude Code tries again after
# `overloaded_error` and `api_error`, and knows "prompt is too long".
KINDS: dict[str, tuple[str, str]] = {
    "account": ("api_error", "The model's server refused the account of this gateway. Tell the gateway's operator."),
    "bad_tool_call": ("api_error", "The model called a tool in a form that cannot be read. Try again."),
    "content_filter": ("invalid_request_error", "The content filter of the model's server stopped the answer."),
    "context_length": ("invalid_request_error", "prompt is too long for this model"),
    "cut": ("api_error", "The model's server ended its answer before it was complete. Try again."),
    "empty": ("api_error", "The model's server ended the connection without an answer. Try again."),
    "error": ("api_error", "The model's server reported an error before its answer was complete. Try again."),
    "html": ("overloaded_error", "The model's server sent a web page instead of an answer. Try again later."),
    "line_too_long": ("api_error", "The model's server sent an event that is too large for this gateway."),
    "no_choices": ("api_error", "The model's server sent a reply without an answer in it. Try again."),
    "overloaded": ("overloaded_error", "The model's server is overloaded. Try again later."),
    "rate_limit": ("overloaded_error", "The model's server takes no more requests at the moment. Try again later."),
    "refused": ("invalid_request_error", "The model's server refused the request."),
    "server": ("api_error", "The model's server failed. Try again later."),
    "timeout": ("api_error", "The model's server took too long. Try again later."),
    "too_large": ("api_error", "The model's server sent an answer that is too large for this gateway."),
    "unreadable": ("api_error", "The model's server sent a reply that is not in the agreed format. Try again."),
}
_LIMIT = re.compile(r"context.{0,20}(?:length|window|size)\D{0,20}(\d{3,9})|> (\d{3,9})", re.I)
_NUMBER = re.compile(r"\d{3,9}")
# Checked in this order: a status says less than words do.
WORDS = (
    ("context_length", re.compile(r"context.{0,20}(?:length|window|size)|prompt is too long|too many tokens", re.I)),
    ("account", re.compile(r"insufficient.(?:quota|credit|balance)|invalid.api.key|billing|payment", re.I)),
    ("content_filter", re.compile(r"content.?(?:filter|policy)|moderation|flagged", re.I)),
    ("rate_limit", re.compile(r"rate.?limit|too many requests", re.I)),
    ("overloaded", re.compile(r"overloaded|insufficient_system_resource|capacity|no available", re.I)),
    ("timeout", re.compile(r"time[d_ -]*out", re.I)),
)
STATUSES = {401: "account", 402: "account", 403: "account", 408: "timeout", 429: "rate_limit", 503: "overloaded"}
STATUSES |= {504: "timeout", 529: "overloaded"}


class UpstreamFailedError(Exception):
    """The upstream answered with something that is no answer.

    `kind` is a key of KINDS, `error_type` a type of the Messages API's errors, `message` a sentence for the client,
    `detail` the beginning of the upstream's own words, for the log only.
    """

    def __init__(self, kind: str, detail: str = "", *, message: str = "") -> None:
        self.kind = kind
        self.error_type, words = KINDS[kind]
        self.message = message or words
        self.detail = detail[:DETAIL_LETTERS]
        super().__init__(self.message)


def from_error(error: Any) -> UpstreamFailedError:
    """The failure behind an error object of any server: `{"message", "type", "code"}`, nested in `error` or not, text.

    `code` is a status as a number or as digits (OpenRouter, vLLM, llama.cpp) or a word (OpenAI).
    """
    texts = list(_texts(error, MOST_DEPTH))
    words = " ".join(texts)
    for kind, pattern in WORDS:
        if pattern.search(words):
            return UpstreamFailedError(kind, words, message=_too_long(words) if kind == "context_length" else "")
    for text in texts:
        if text.isascii() and text.isdigit() and len(text) == 3 and 400 <= int(text) <= 599:
            status = int(text)
            return UpstreamFailedError(STATUSES.get(status, "refused" if status < 500 else "server"), words)
    return UpstreamFailedError("error", words)


def of(chat: dict[str, Any]) -> UpstreamFailedError | None:
    """The failure that an answer or a chunk reports, None where it reports none.

    vLLM sends `{"object": "error", …}` inside a stream (litellm issue 32086), FastAPI servers `{"detail": …}`.
    """
    if error := chat.get("error"):
        return from_error(error)
    if chat.get("object") == "error" or ("detail" in chat and "choices" not in chat):
        return from_error(chat)
    return None


def _texts(value: Any, depth: int) -> list[str]:
    """Code, type and message of an error first, and what is nested below."""
    if isinstance(value, str):
        return [value[: 4 * DETAIL_LETTERS]]
    if isinstance(value, int) and not isinstance(value, bool):
        return [str(value) if abs(value) < 10**9 else ""]
    inside: list[str] = []
    if isinstance(value, dict) and depth:
        if "n_ctx" in value:  # llama.cpp
            inside.append(f"{_number(value.get('n_prompt_tokens'))} tokens, context size {_number(value['n_ctx'])}")
        for name in ("code", "status", "type", "message", "detail", "error", "metadata", "raw"):
            inside += _texts(value.get(name), depth - 1)
    return inside


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 10**9 else 0


def _too_long(words: str) -> str:
    """Claude Code's own wording with both numbers, on which it shortens the conversation; "" without numbers.

    OpenAI and vLLM: "maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens".
    """
    limit = _LIMIT.search(words)
    largest = max(map(int, _NUMBER.findall(words)), default=0)
    most = int(limit[1] or limit[2]) if limit else largest
    return f"prompt is too long: {largest} tokens > {most} maximum" if largest > most else ""


Loads = Callable[[bytes | str], Any]
