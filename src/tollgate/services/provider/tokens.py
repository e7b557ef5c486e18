"""Counts tokens by one rule, so the usage is the same for whole answers and streams.

A text of n UTF-8 bytes has ceil(n / 4) tokens. An image or a document has a fixed number, whatever its size. A tool, a
tool call or a JSON answer counts as its compact JSON. A message itself adds nothing.
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
    """Cut `text` into one non-empty piece per token. Joined, the pieces are the text again.

    Piece i ends at byte 4*i, or up to three bytes earlier if that would split a character. No character is longer than
    a token, so no piece is empty, and the first n pieces never count more than n tokens.
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
    """The first `tokens` pieces of `text`."""
    raw = text.encode()
    end = tokens * BYTES_PER_TOKEN
    if end >= len(raw):
        return text
    while raw[end] & 0xC0 == 0x80:
        end -= 1
    return raw[:end].decode()
