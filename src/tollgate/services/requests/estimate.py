"""A cheap estimate of a request's input tokens, for `message_start` and for limits before an upstream has counted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Tokenizers of today make about one token of four bytes of UTF-8 text, in English, code and Chinese alike.
BYTES_PER_TOKEN = 4
# An image that Anthropic does not scale down: https://platform.claude.com/docs/en/build-with-claude/vision.
IMAGE_TOKENS = 1600
# A page of a PDF is 1,500 to 3,000 tokens there, and some 60 KB of base64.
PDF_TOKENS = 1500
PDF_LETTERS_PER_TOKEN = 30
MESSAGE_TOKENS = 4
COUNTED = ("system", "messages", "tools", "output_config", "output_format", "functions", "response_format")
# They hold no words for the model.
SKIPPED = frozenset(("cache_control", "signature", "citations", "encrypted_content"))
# JSON that the model reads as text. An object in it is no image, even if it looks like one.
WORDS = ("input", "input_schema", "input_examples", "parameters", "schema")

# Each kind of block whose letters are no words, with the field that holds them.
_HELD = {
    "image": "source",
    "image_url": "image_url",
    "input_image": "image_url",
    "file": "file",
    "input_file": "file_data",
    "input_audio": "input_audio",
    "audio_url": "audio_url",
    "video_url": "video_url",
}
_MEDIA = frozenset((*_HELD, "base64"))
# The type where there is no data URL: of an address, or of base64 alone.
_UNNAMED = {"image_url": "image/", "input_image": "image/", "input_audio": "audio/"}
_DATA_URL = re.compile(r"data:([\w.+-]{1,40}/[\w.+-]{1,100})[^,]{0,200},", re.ASCII)
# Recordings have fewer tokens than documents of their size. Other types, such as text, count by their letters.
_BY_SIZE = ("application/pdf", "application/vnd.", "application/msword", "audio/", "video/")


def input_tokens(body: Any) -> int:
    """The rule: one token for four bytes of all texts and field names in system, messages, tools and answer schema,
    four a message, 1,600 an image, and a document or a recording by its size. Never raises; 0 for what is not an
    object."""
    if not isinstance(body, dict):
        return 0
    messages = body.get("messages")
    tokens = MESSAGE_TOKENS * len(messages) if isinstance(messages, list) else 0
    size = 0
    waiting: list[Any] = [body[name] for name in COUNTED if name in body]
    words: list[Any] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif not isinstance(value, dict):
            size += _bytes(value)
        else:
            kind = value.get("type")
            if isinstance(kind, str) and kind in _MEDIA:
                counted, value = _media(kind, value)
                tokens += counted
            size += len("".join(value))
            for name, inner in value.items():
                if name in WORDS:
                    words.append(inner)
                elif name not in SKIPPED:
                    waiting.append(inner)
    size += _bytes_inside(words)
    return tokens + -(-size // BYTES_PER_TOKEN)


def _bytes_inside(waiting: list[Any]) -> int:
    """Of all texts, names and numbers in these values, which it removes."""
    size = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            size += len("".join(value))
            waiting += value.values()
        else:
            size += _bytes(value)
    return size


def _bytes(value: Any) -> int:
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
    return 0 if value is None else BYTES_PER_TOKEN


def tokens_of_any(body: Mapping[str, Any]) -> int:
    """The same for every API: the texts to embed or to complete have fields of their own."""
    return input_tokens(body) + input_tokens({"system": [body.get("input"), body.get("prompt")]})


def _media(kind: str, block: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """The tokens of what a block or a source holds beside words, and its other fields."""
    if kind == "base64":
        named = ("type", "media_type", "data")
        return encoded_tokens(block), {field: value for field, value in block.items() if field not in named}
    name = _HELD[kind]
    held = block.get(name)
    others = {field: value for field, value in block.items() if field not in ("type", name)}
    if kind == "image":
        by_address = isinstance(held, dict) and held.get("type") in ("url", "file")
        return (IMAGE_TOKENS, others) if by_address else (0, block)
    inside = held if isinstance(held, dict) else {"url": held}
    data = next((inside[field] for field in ("url", "data", "file_data") if field in inside), None)
    if not isinstance(data, str):
        return 0, block
    found = _DATA_URL.match(data)
    media_type = found[1].lower() if found else _UNNAMED.get(kind, "")
    if not media_type.startswith(("image/", *_BY_SIZE)):
        return 0, block
    if beside := {field: value for field, value in inside.items() if value is not data}:
        others[name] = beside
    return encoded_tokens({"media_type": media_type, "data": data}), others


def is_image(source: Mapping[str, Any]) -> bool:
    media_type = source.get("media_type")
    return isinstance(media_type, str) and media_type.startswith("image/")


def encoded_tokens(source: Mapping[str, Any]) -> int:
    """Of an image, a document or a recording in base64, as the `source` of Anthropic's blocks."""
    if is_image(source):
        return IMAGE_TOKENS
    data = source.get("data")
    return max(PDF_TOKENS, len(data) // PDF_LETTERS_PER_TOKEN) if isinstance(data, str) else 0
