"""Reading untrusted JSON: small checks that refuse with the place and the words of the API being spoken."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

from .api_errors import ApiError

JsonObject = dict[str, Any]
# (place such as "messages.0.role", words, OpenAI's code) → the refusal in that API's wording.
Refuse = Callable[[str, str, str], ApiError]

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def json_object(raw: bytes) -> JsonObject:
    """The request body as an object. Raises ApiError (400) for anything else."""
    try:
        body = json.loads(raw)
        if b"\\ud" in raw or b"\\uD" in raw:
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair could not be quoted back
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(400, f"The request body is not valid JSON: {what}") from None
    if not isinstance(body, dict):
        raise ApiError(400, "The request body is not valid JSON: expected an object")
    return body


def is_base64(text: object) -> bool:
    try:
        return isinstance(text, str) and bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
