"""Anthropic's Messages: answers and events. Unknown fields and kinds of blocks are kept."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from tollgate_client.part import Answer, Count, Part, Stated, leniently
from tollgate_client.prices import Tokens

# The block of a tool that the provider runs.
_CALL = "server_tool_use"


class Block(Part):
    """text, tool_use, thinking or another kind; fields of other kinds are in `get`."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class CacheCreation(Part):
    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class MessageUsage(Part):
    """Tokens, and uses of tools that the provider ran. `input_tokens` is without what the cache read and wrote."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Stated = None
    cache_creation: CacheCreation | None = None
    server_tool_use: dict[str, Any] | None = None

    def tokens(self) -> Tokens:
        """All tokens that are billed. A compaction of the conversation is not in the figures of this object."""
        return sum((compaction._stated() for compaction in self._compactions()), self._stated())

    def _compactions(self) -> list[MessageUsage]:
        entries = self.get("iterations")
        beside = [entry for entry in entries if _is_compaction(entry)] if isinstance(entries, list) else []
        return [leniently(MessageUsage, entry) for entry in beside]

    def _stated(self) -> Tokens:
        ages = self.cache_creation or CacheCreation()
        of_hour = ages.ephemeral_1h_input_tokens or 0
        written = self.cache_creation_input_tokens
        total = of_hour + (ages.ephemeral_5m_input_tokens or 0) if written is None else written
        of_hour = min(of_hour, total)
        return Tokens(
            input=self.input_tokens,
            output=self.output_tokens,
            cache_read=self.cache_read_input_tokens or 0,
            cache_write_5m=total - of_hour,
            cache_write_1h=of_hour,
        )


def _is_compaction(entry: object) -> bool:
    return isinstance(entry, dict) and entry.get("type") == "compaction"


class Message(Answer):
    """The answer to a Messages request."""

    id: str = ""
    model: str = ""
    role: str = "assistant"
    content: list[Block]
    stop_reason: str | None = None
    usage: MessageUsage | None = None

    @property
    def text(self) -> str:
        return "".join(block.text or "" for block in self.content if block.type == "text")

    @property
    def called_tools(self) -> list[str]:
        return [str(block.name) for block in self.content if block.type == _CALL]


class MessageEvent(Part):
    """One event of a streamed answer: message_start, content_block_delta, message_delta and so on."""

    type: str
    index: int | None = None
    delta: Part | None = None
    message: Part | None = None
    usage: MessageUsage | None = None

    @property
    def text(self) -> str:
        text = self.delta.get("text") if self.delta is not None else None
        return text if isinstance(text, str) else ""

    @property
    def called_tools(self) -> list[str]:
        """The tool that the provider calls with this event, if it is one."""
        block = self.get("content_block") if self.type == "content_block_start" else None
        return [str(block.get("name"))] if isinstance(block, dict) and block.get("type") == _CALL else []


class CountedTokens(Answer):
    input_tokens: int = Field(ge=0)
