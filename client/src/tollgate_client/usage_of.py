"""The tokens of a stream, from its pieces, as the gateway's ledger reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tollgate_client import server_tools
from tollgate_client.messages import MessageEvent, MessageUsage
from tollgate_client.models import ChatChunk, Usage
from tollgate_client.part import Part, leniently

_USES = "server_tool_use"
U = TypeVar("U", Usage, MessageUsage)


def of_chunk(chunk: ChatChunk, before: Usage | MessageUsage | None) -> Usage | MessageUsage | None:
    """Servers send the usage in the last chunk, or in each chunk the usage so far."""
    return _joined(Usage, before, chunk.usage)


def of_event(event: MessageEvent, before: Usage | MessageUsage | None) -> Usage | MessageUsage | None:
    """message_start has the first figures, message_delta later ones."""
    stated = event.message.get("usage") if isinstance(event.message, Part) else None
    first = leniently(MessageUsage, stated) if isinstance(stated, dict) else None
    return _joined(MessageUsage, _joined(MessageUsage, before, first), event.usage)


def _joined(kind: type[U], before: Usage | MessageUsage | None, now: U | None) -> Usage | MessageUsage | None:
    if now is None or before is None:
        return before if now is None else now
    first, second = _stated(before), _stated(now)
    return leniently(kind, {**_later(first, second), **_larger(first, second)})


def _stated(usage: Part) -> dict[str, Any]:
    return usage.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def _larger(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Uses of tools are never an estimate."""
    return {_USES: server_tools.larger(before.get(_USES), now[_USES])} if _USES in now else {}


def _later(before: Any, now: Any) -> Any:
    """The later figure counts, because the first can be an estimate; but some servers repeat a 0 at the end."""
    if isinstance(now, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {**known, **{name: _later(known.get(name), value) for name, value in now.items()}}
    return before if now == 0 and before is not None else now
