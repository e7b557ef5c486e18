"""A cheap estimate of a request's input tokens, for `message_start` and for limits before an upstream has counted."""

from __future__ import annotations

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
COUNTED = ("system", "messages", "tools", "output_config", "output_format")
# They hold no words for the model.
SKIPPED = ("cache_control", "signature", "citations", "encrypted_content")
# JSON that the model reads as text. An object in it is no image, even if it looks like one.
WORDS = ("input", "input_schema", "input_examples", "parameters")


def input_tokens(body: Any) -> int:
    """The rule: one token for four bytes of all texts and field names in system, messages, tools and answer schema,
    four a message, 1,600 an image, and a PDF by its size. Never raises; 0 for what is not an object."""
    if not isinstance(body, dict):
        return 0
    messages = body.get("messages")
    tokens = MESSAGE_TOKENS * len(messages) if isinstance(messages, list) else 0
    size = 0
    waiting: list[Any] = [body.get(name) for name in COUNTED]
    words: list[Any] = []
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif not isinstance(value, dict):
            size += _bytes(value)
        elif value.get("type") == "base64":
            tokens += encoded_tokens(value)
        elif value.get("type") == "image_url" and _is_data(value.get("image_url")):
            tokens += IMAGE_TOKENS
        else:
            size += sum(map(len, value))
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
            size += sum(map(len, value))
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


def _is_data(image: Any) -> bool:
    """Whether OpenAI's `image_url` is the image itself and no address."""
    url = image.get("url") if isinstance(image, dict) else image
    return isinstance(url, str) and url.startswith("data:image/")


def is_image(source: Mapping[str, Any]) -> bool:
    media_type = source.get("media_type")
    return isinstance(media_type, str) and media_type.startswith("image/")


def encoded_tokens(source: Mapping[str, Any]) -> int:
    """Of an image or a document in base64, as `source` of Anthropic's blocks."""
    if is_image(source):
        return IMAGE_TOKENS
    data = source.get("data")
    return max(PDF_TOKENS, len(data) // PDF_LETTERS_PER_TOKEN) if isinstance(data, str) else 0
