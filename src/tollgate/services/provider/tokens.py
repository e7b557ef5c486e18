"""How this provider counts tokens: one rule, so that usage is the same however an answer is delivered.

A text of n UTF-8 bytes is ceil(n / 4) tokens; an image or a document is a fixed number, whatever its size. A tool,
a tool call or a JSON answer counts as the compact JSON of it. Nothing is added per message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

BYTES_PER_TOKEN = 4
IMAGE_TOKENS = 1000
DOCUMENT_TOKENS = 1500


def count(text: str) -> int:
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def count_json(value: object) -> int:
    return count(compact(value))


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def pieces(text: str) -> Iterator[str]:
    """Cut `text` into as many non-empty pieces as it has tokens; joined they are the text again.

    Piece i ends at byte 4*i or up to three bytes before it, where a character would be split. Because no character is
    longer than a token, no piece is empty and the first n pieces never count more than n tokens.
    """
    raw = text.encode()
    start = 0
    for mark in range(BYTES_PER_TOKEN, len(raw) + BYTES_PER_TOKEN, BYTES_PER_TOKEN):
        end = min(mark, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        yield raw[start:end].decode()
        start = end


def cut(text: str, tokens: int) -> str:
    """The longest start of `text` made of its first `tokens` pieces."""
    raw = text.encode()
    end = tokens * BYTES_PER_TOKEN
    if end >= len(raw):
        return text
    while raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end].decode()
