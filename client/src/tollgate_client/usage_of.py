"""The tokens of a stream, from its pieces. Pure."""

from __future__ import annotations

from tollgate_client.messages import MessageEvent, MessageUsage
from tollgate_client.models import ChatChunk, Usage
from tollgate_client.part import Part


def of_chunk(chunk: ChatChunk, before: Usage | MessageUsage | None) -> Usage | MessageUsage | None:
    """Servers send the usage in the last chunk, or in each chunk the usage so far."""
    return chunk.usage or before


def of_event(event: MessageEvent, before: Usage | MessageUsage | None) -> Usage | MessageUsage | None:
    """message_start has the first figures, message_delta later ones."""
    if isinstance(before, MessageUsage):
        return before.later(event.usage) if event.usage else before
    stated = event.message.get("usage") if isinstance(event.message, Part) else None
    return MessageUsage.model_validate(stated) if isinstance(stated, dict) else event.usage or before
