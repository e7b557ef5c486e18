"""Content blocks of the Messages API: their checks and their tokens.

Caching has no memory. The cached prefix is everything up to the last `cache_control`. Its part before the last
assistant message was already in the earlier request, so it counts as read; the rest counts as written. So a first turn
only writes, and the same request always has the same usage.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tollgate.services.provider import tokens
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import IMAGE_TYPES, is_base64
from tollgate.services.provider.prompt import InputUsage, JsonObject

KNOWN_BLOCKS = (
    *("text", "image", "document", "search_result", "container_upload", "thinking", "redacted_thinking"),
    *("tool_use", "tool_result", "tool_reference", "server_tool_use", "mcp_tool_use", "mcp_tool_result"),
    *("web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result"),
)


def bad(place: str, words: str = "Field required") -> ApiError:
    return ApiError(400, f"{place}: {words}" if place else words, param=place or None)


@dataclass
class Counter:
    """Counts a request's parts in the order providers cache them: tools, system, messages."""

    total: int = 0
    images: int = 0
    cached: int = 0  # `total` at the last cache_control
    known: int = 0  # `total` before the last assistant message
    ttl: Literal["5m", "1h"] = "5m"

    def turn_begins(self) -> None:
        self.known = self.total

    def usage(self) -> InputUsage:
        read = min(self.cached, self.known)
        return InputUsage(self.total, cache_read=read, cache_write=self.cached - read, cache_ttl=self.ttl)

    def mark(self, part: JsonObject) -> None:
        control = part.get("cache_control")
        if isinstance(control, dict):
            self.cached = self.total
            self.ttl = "1h" if control.get("ttl") == "1h" else "5m"

    def content(self, content: object, where: str) -> None:
        if isinstance(content, str):
            self.total += tokens.count(content)
        elif not isinstance(content, list):
            raise bad(where, "Input should be a valid string or list")
        else:
            for place, block in enumerate(content):
                self.block(block, f"{where}.{place}")

    def block(self, block: object, where: str) -> None:
        if not isinstance(block, dict):
            raise bad(where, "Input should be a valid dictionary")
        match block.get("type"):
            case "text":
                self.total += tokens.count(_string(block, "text", where))
            case "image":
                _check_image(block.get("source"), f"{where}.image.source")
                self.images += 1
                self.total += tokens.IMAGE_TOKENS
            case "document":
                self.total += tokens.DOCUMENT_TOKENS
            case "tool_use":
                _string(block, "id", where)
                self.total += tokens.count(_string(block, "name", where)) + tokens.count_json(block.get("input", {}))
            case "tool_result":
                _string(block, "tool_use_id", where)
                self.content(block.get("content") or "", f"{where}.content")
            case "thinking":
                self.total += tokens.count(_string(block, "thinking", where))
            case kind if kind in KNOWN_BLOCKS:
                self.total += tokens.count_json({k: v for k, v in block.items() if k != "cache_control"})
            case None:
                raise bad(f"{where}.type")
            case kind:
                known = ", ".join(f"'{name}'" for name in KNOWN_BLOCKS)
                raise bad(
                    where, f"Input tag '{kind}' found using 'type' does not match any of the expected tags: {known}"
                )
        self.mark(block)


def _string(block: JsonObject, name: str, where: str) -> str:
    value = block.get(name)
    if not isinstance(value, str):
        place = f"{where}.{block['type']}.{name}"
        raise bad(place, "Field required" if name not in block else "Input should be a valid string")
    return value


def _check_image(source: Any, where: str) -> None:
    kind = source.get("type") if isinstance(source, dict) else None
    if kind == "base64":
        if source.get("media_type") not in IMAGE_TYPES:
            expected = ", ".join(f"'{name}'" for name in IMAGE_TYPES)
            raise bad(f"{where}.base64.media_type", f"Input should be {expected}")
        if not is_base64(source.get("data")):
            raise bad(f"{where}.base64.data", "Invalid base64 data")
    elif kind == "url":
        if not str(source.get("url", "")).startswith(("https://", "http://")):
            raise bad(f"{where}.url.url", "Only HTTP and HTTPS URLs are supported")
    elif kind != "file":
        raise bad(
            where, "Input tag found using 'type' does not match any of the expected tags: 'base64', 'url', 'file'"
        )


def blocks(content: object) -> list[JsonObject]:
    return content if isinstance(content, list) else []


def text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block["text"] for block in blocks(content) if block.get("type") == "text")
