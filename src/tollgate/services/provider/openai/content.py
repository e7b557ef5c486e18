"""Content of chat messages: its checks, its tokens and its text."""

from __future__ import annotations

from typing import Any

from tollgate.services.provider import tokens
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import IMAGE_TYPES, is_base64
from tollgate.services.provider.prompt import JsonObject


def missing(place: str) -> ApiError:
    return ApiError(400, f"Missing required parameter: '{place}'.", param=place, code="missing_required_parameter")


def wrong(place: str, expected: str, code: str = "invalid_type") -> ApiError:
    return ApiError(400, f"Invalid value for '{place}': expected {expected}.", param=place, code=code)


def count(message: JsonObject, where: str) -> tuple[int, int]:
    """Tokens and images of one message."""
    content = message.get("content")
    total = images = 0
    calls = message.get("tool_calls") or []
    if content is None and not calls:
        raise missing(f"{where}.content")
    if isinstance(content, str):
        total = tokens.count(content)
    elif content is not None and not isinstance(content, list):
        raise wrong(f"{where}.content", "a string or an array of objects")
    for place, part in enumerate(content if isinstance(content, list) else []):
        counted, is_image = _count_part(part, f"{where}.content[{place}]")
        total, images = total + counted, images + is_image
    for call in calls:
        total += tokens.count(call["function"]["name"]) + tokens.count(call["function"]["arguments"])
    return total, images


def _count_part(part: Any, where: str) -> tuple[int, bool]:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind in ("text", "refusal"):
        if not isinstance(part.get(kind), str):
            raise missing(f"{where}.{kind}")
        return tokens.count(part[kind]), False
    if kind == "image_url":
        image = part.get("image_url")
        _check_image(image.get("url") if isinstance(image, dict) else None, f"{where}.image_url.url")
        return tokens.IMAGE_TOKENS, True
    if kind in ("file", "input_audio"):
        return tokens.DOCUMENT_TOKENS, False
    words = f"Invalid value: '{kind}'. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', 'file'."
    raise ApiError(400, words, param=f"{where}.type", code="invalid_value")


def _check_image(url: object, where: str) -> None:
    """Raises ApiError for a data URL that cannot be decoded. An http URL is accepted and never fetched."""
    if not isinstance(url, str):
        raise missing(where)
    if url.startswith(("https://", "http://")):
        return
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    if not url.startswith("data:") or kind not in IMAGE_TYPES or not is_base64(data):
        raise ApiError(
            400,
            "Invalid image: expected an http(s) URL or a base64 data URL of a png, jpeg, gif or webp image.",
            param=where,
            code="invalid_image_url",
        )


def text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part["text"] for part in parts if part.get("type") == "text")
