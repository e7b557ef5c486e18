"""Embeddings: a unit vector from the text's hash. The same text has the same vector; others have unrelated vectors.

Values are rounded to 32-bit floats before they are written, so `float` and `base64` have exactly the same values.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from functools import lru_cache
from typing import Any

from tollgate.services.provider import tokens
from tollgate.services.provider.checks import is_whole
from tollgate.services.provider.openai.content import missing, wrong
from tollgate.services.provider.prompt import JsonObject

DIMENSIONS = 256
MAX_DIMENSIONS = 4096
MAX_INPUTS = 2048


def embeddings(body: JsonObject, *, model: str) -> JsonObject:
    encoding = body.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise wrong("encoding_format", "'float' or 'base64'", "invalid_value")
    dimensions = DIMENSIONS if body.get("dimensions") is None else body["dimensions"]
    if not is_whole(dimensions) or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise wrong("dimensions", f"an integer from 1 to {MAX_DIMENSIONS}", "invalid_value")
    inputs = _inputs(body.get("input"))
    data = [
        {"object": "embedding", "index": place, "embedding": _encoded(text, dimensions, encoding)}
        for place, (text, _) in enumerate(inputs)
    ]
    counted = sum(count for _, count in inputs)
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": counted, "total_tokens": counted},
    }


@lru_cache(maxsize=1024)
def vector(text: str, dimensions: int) -> bytes:
    """A vector of length 1, as `dimensions` little-endian 32-bit floats."""
    raw = b"".join(hashlib.sha256(f"{block}:{text}".encode()).digest() for block in range(-(-dimensions * 2 // 32)))
    values = [number - 32767.5 for number in struct.unpack_from(f"<{dimensions}H", raw)]
    length = math.hypot(*values)
    return struct.pack(f"<{dimensions}f", *(value / length for value in values))


def _encoded(text: str, dimensions: int, encoding: str) -> str | list[float]:
    packed = vector(text, dimensions)
    if encoding == "base64":
        return base64.b64encode(packed).decode()
    return list(struct.unpack(f"<{dimensions}f", packed))


def _inputs(given: Any) -> list[tuple[str, int]]:
    """Texts to embed and their numbers of tokens. A list of numbers is one text that consists of these tokens."""
    if given is None:
        raise missing("input")
    items = given if isinstance(given, list) and not (given and all(map(is_whole, given))) else [given]
    if not items or len(items) > MAX_INPUTS:
        raise wrong("input", f"from 1 to {MAX_INPUTS} items", "invalid_value")
    read: list[tuple[str, int]] = []
    for item in items:
        if isinstance(item, str) and item:
            read.append((item, tokens.count(item)))
        elif isinstance(item, list) and item and all(map(is_whole, item)):
            read.append((tokens.compact(item), len(item)))
        else:
            raise wrong("input", "a non-empty string, an array of strings, or arrays of token numbers")
    return read
