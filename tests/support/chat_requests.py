"""Checks that a chat completion request is valid: by the strict server of this kit, and rules of stricter ones."""

from __future__ import annotations

import json
from typing import Any

from tollgate.services.provider.openai import request as strict_server

ROLES = {"system", "developer", "user", "assistant", "tool"}


def problems(chat: dict[str, Any]) -> list[str]:
    """The faults of `chat` that a strict upstream refuses. The server of this kit raises its own."""
    json.dumps(chat)
    strict_server.read(chat, dialled=False)
    return [problem for place, message in enumerate(chat["messages"]) for problem in _of_message(chat, place, message)]


def _of_message(chat: dict[str, Any], place: int, message: dict[str, Any]) -> list[str]:
    found = []
    before = chat["messages"][place - 1]["role"] if place else ""
    role, content = message["role"], message["content"]
    if role not in ROLES:
        found.append(f"{place}: role {role}")
    if role in ("system", "developer") and place:
        found.append(f"{place}: a system message in the middle")
    if role in ("user", "assistant") and before == role:
        found.append(f"{place}: two messages of {role}")
    if role == "tool" and not (isinstance(content, str) and before in ("assistant", "tool")):
        found.append(f"{place}: a tool message with more than text, or out of place")
    if content == "" or content == [] or (content is None and not message.get("tool_calls")):
        found.append(f"{place}: empty")
    if isinstance(content, list) and any(part["type"] == "text" and not part["text"] for part in content):
        found.append(f"{place}: an empty part")
    for call in message.get("tool_calls", []):
        if not isinstance(json.loads(call["function"]["arguments"]), dict) or len(call["function"]["name"]) > 64:
            found.append(f"{place}: call {call}")
    return found
