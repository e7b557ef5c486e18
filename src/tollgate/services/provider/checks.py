"""Checks of untrusted JSON. Their errors have the place and the words of the request's API."""

from __future__ import annotations

import base64
import binascii
import json
import math
from typing import Any

from tollgate.services.provider.api_errors import ApiError

JsonObject = dict[str, Any]
MAX_DEPTH = 100  # real requests are less deep; a deeper value could exhaust the stack
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def json_object(raw: bytes) -> JsonObject:
    """The request body as an object. Raises ApiError (400) for anything else."""
    try:
        body = loads(raw)
    except ValueError as error:
        raise ApiError(400, f"The request body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not valid JSON: expected an object")
    return body


def loads(raw: bytes) -> Any:
    """JSON that can be written as JSON again. Raises ValueError for anything else, also for NaN and half surrogates."""
    try:
        value = json.loads(raw, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if _deeper_than(value, MAX_DEPTH):
        raise ValueError("nested too deeply")
    if b"\\ud" in raw or b"\\uD" in raw:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not a JSON number")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is out of range")
    return value


def _deeper_than(value: object, most: int) -> bool:
    level = [value]
    for _ in range(most):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, (dict, list))]
        level = [value for values in inner for value in values]
        if not level:
            return False
    return True


def is_base64(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
