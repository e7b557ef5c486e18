"""An upstream's message out of its error, without the parts that a client must not see."""

from __future__ import annotations

import re
from typing import Any

_HIDDEN = (
    (re.compile(r"https?://[^\s'\"<>]+"), "[address]"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?\b"), "[address]"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "[hash]"),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{4,}(?:\.\.\.)?[A-Za-z0-9_-]*"), "[key]"),
)
_LONGEST = 4000


def message_of(answer: Any) -> str:
    """The message of an error body in any known form; empty if there is none."""
    if isinstance(answer, dict):
        for name in ("error", "detail", "message", "Message"):
            message = message_of(answer[name]) if name in answer else ""
            if message:
                return message
        return ""
    if isinstance(answer, list):
        return message_of(answer[0]) if answer else ""
    return answer.strip() if isinstance(answer, str) else ""


def harmless(text: str) -> str:
    """The text without addresses, hashes and keys, at most 4000 characters."""
    for pattern, instead in _HIDDEN:
        text = pattern.sub(instead, text)
    return text[:_LONGEST]
