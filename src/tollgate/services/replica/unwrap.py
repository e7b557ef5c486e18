"""What an upstream said, out of the layers LiteLLM wraps it in, and without what a client must not learn."""

from __future__ import annotations

import json
import re
from typing import Any

# "litellm.BadRequestError: AnthropicException - ...", also twice over.
_PREFIX = re.compile(
    r"^\s*(?:Invalid request format:|litellm\.\w+:(?: \w+Error:)?|[\w.]+Exception(?: \w+Error)? -|Error code: \d+ -)\s*"
)
# What LiteLLM's router adds at the end: model groups, fallbacks, retries, cooled-down deployments.
_SUFFIX = re.compile(
    r"(?:[.,]?\s*(?:Received Model Group\s*=|Available Model Group Fallbacks\s*=|LiteLLM Retried:|LiteLLM Max Retries:)"
    r"|\s*\n\nLiteLLM: model group).*$",
    re.DOTALL,
)
_HIDDEN = (
    (re.compile(r"https?://[^\s'\"<>]+"), "[address]"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b"), "[address]"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "[hash]"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{4,}(?:\.\.\.)?[A-Za-z0-9_-]*"), "[key]"),
)
_LONGEST = 4000


def message_of(answer: Any) -> str:
    """The text of an error body in any of the shapes there are; empty where none is found."""
    if isinstance(answer, dict):
        for name in ("error", "detail", "message", "Message"):
            found = message_of(answer[name]) if name in answer else ""
            if found:
                return found
        return ""
    if isinstance(answer, list):
        return message_of(answer[0]) if answer else ""
    return answer.strip() if isinstance(answer, str) else ""


def unwrap(text: str) -> str:
    """The innermost wording: prefixes off, JSON opened, the router's postscript cut."""
    before = None
    while before != text:
        before = text
        text = _SUFFIX.sub("", _PREFIX.sub("", text)).strip()
        text = _opened(text)
    return text


def _opened(text: str) -> str:
    """The message inside where `text` is JSON, also as Python prints bytes: b'{...}'."""
    inner = text[2:-1] if text[:2] in ("b'", 'b"') and text[-1:] == text[1] else text
    if not inner.startswith(("{", "[")):
        return text
    try:
        answer, _ = json.JSONDecoder().raw_decode(inner)
    except ValueError:
        return text
    return message_of(answer) or text


def harmless(text: str) -> str:
    """Without addresses, hashes and keys, and not longer than somebody reads."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text[:_LONGEST]
