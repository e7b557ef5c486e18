"""The requests for every backend, on both routes: the rows of the feature table."""

from __future__ import annotations

import base64
from typing import Any

TEXT = "The sky is blue."
SYSTEM = "You are brief."
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CLAUDE_TOOL: dict[str, Any] = {"name": "get_weather", "description": "The weather in a city", "input_schema": SCHEMA}
GPT_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "get_weather", "description": "The weather in a city", "parameters": SCHEMA},
}
PNG = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5"
        "f645400000000049454e44ae426082"
    )
).decode()
DATA_URL = f"data:image/png;base64,{PNG}"
PICTURE_URL = "https://pictures.example/sky.png"


def claude(model: str, **more: Any) -> dict[str, Any]:
    question = [{"role": "user", "content": "Which colour is the sky?"}]
    return {"model": model, "max_tokens": 64, "messages": question, **more}


def gpt(model: str, **more: Any) -> dict[str, Any]:
    question = [{"role": "user", "content": "Which colour is the sky?"}]
    return {"model": model, "max_tokens": 64, "messages": question, **more}


def claude_picture(source: dict[str, str]) -> list[dict[str, Any]]:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    return [{"role": "user", "content": content}]


def gpt_picture(url: str) -> list[dict[str, Any]]:
    content = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]
