"""Ids of the tool calls in one answer: the upstream's where it can serve, else one made from the message's id."""

from __future__ import annotations

from typing import Any

from tollgate.services.gateway.convert.carried import outward_id
from tollgate.services.gateway.convert.refusal import Json


class CallIds:
    """Hands out ids that are unique in the answer and in the conversation before it.

    Clients pair results with calls by id alone, and some servers number calls from 0 in every answer.
    """

    def __init__(self, request: Json, message_id: str) -> None:
        self._request = request
        self._stem = "toolu_" + message_id.removeprefix("msg_")
        self._used: set[str] = set()
        self._given = 0

    def take(self, upstream: str) -> str:
        """The id for a call that the upstream calls `upstream`, "" where it has no id."""
        if not self._given:
            self._used = _in_history(self._request.get("messages"))
        self._given += 1
        call_id = outward_id(upstream) if upstream else ""
        if not call_id or call_id in self._used:
            call_id = f"{self._stem}_{self._given}"
        self._used.add(call_id)
        return call_id


def _in_history(messages: Any) -> set[str]:
    contents = [message.get("content") for message in messages if isinstance(message, dict)] if messages else []
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    ids = [block.get("id") for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"]
    return {call_id for call_id in ids if isinstance(call_id, str)}
