"""Request bodies that several tests send."""

from __future__ import annotations

from typing import Any

MODEL = "test-model"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}


def message(text: str = "Say hello.", **more: Any) -> dict[str, Any]:
    """For POST /v1/messages."""
    return {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}


def chat(text: str = "Say hello.", **more: Any) -> dict[str, Any]:
    """For POST /v1/chat/completions."""
    return {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": text}], **more}
