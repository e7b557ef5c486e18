"""A chat body in the form of Anthropic's Messages, to count its tokens. Pure.

A message that has the form of Messages already passes unchanged, so both kinds can be counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json


def as_messages(body: Mapping[str, Any]) -> dict[str, Any]:
    """`messages`, `system` and `tools` of a plain JSON `body`; other fields pass as they are."""
    turns: list[dict[str, Any]] = []
    system: list[dict[str, Any]] = []
    for message in body["messages"]:
        if message.get("role") in ("system", "developer"):
            system += _blocks(message.get("content"))
            continue
        turn = _turn(message)
        if turns and turns[-1]["role"] == turn["role"]:
            turns[-1]["content"] += turn["content"]
        elif turn["content"]:
            turns.append(turn)
    rest = {name: value for name, value in body.items() if name not in ("messages", "tools", "system")}
    if stated := body.get("system"):
        system = [*_blocks(stated), *system]
    if system:
        rest["system"] = system
    if tools := body.get("tools"):
        rest["tools"] = [_tool(tool) for tool in tools]
    return {"messages": turns, **rest}


def _turn(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = message.get("role"), _blocks(message.get("content"))
    if role == "tool":
        result = {"type": "tool_result", "tool_use_id": message.get("tool_call_id") or "", "content": content}
        return {"role": "user", "content": [result]}
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        use = {"type": "tool_use", "id": call.get("id") or "", "name": function.get("name") or ""}
        content.append({**use, "input": _arguments(function.get("arguments"))})
    return {"role": "assistant" if role == "assistant" else "user", "content": content}


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_block(part) for part in content or ()]


def _block(part: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("type") != "image_url":
        return dict(part)
    url = str((part.get("image_url") or {}).get("url", ""))
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        kind = head.removeprefix("data:").removesuffix(";base64")
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, Mapping):
        return dict(tool)
    fields = {"name": function.get("name"), "description": function.get("description")}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {**{name: value for name, value in fields.items() if value is not None}, "input_schema": schema}


def _arguments(text: Any) -> dict[str, Any]:
    try:
        arguments = from_json(text or "{}")
    except (TypeError, ValueError):
        return {"arguments": str(text)}
    return arguments if isinstance(arguments, dict) else {"arguments": arguments}
