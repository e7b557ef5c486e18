"""The tokens of a stream, from its pieces, as the gateway's ledger reads them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from tollgate_client import server_tools
from tollgate_client.messages import MessageEvent, MessageUsage
from tollgate_client.models import ChatChunk, Usage
from tollgate_client.part import Part, as_count, leniently

_USES, _TIMINGS = "server_tool_use", "timings"
U = TypeVar("U", Usage, MessageUsage)


def of_chunk(chunk: ChatChunk, before: Usage | MessageUsage | None) -> Usage | MessageUsage | None:
    """Servers send the usage in the last chunk, or in each chunk the usage so far.

    A usage rules over llama.cpp's timings.
    """
    if now := _usage_in(chunk):
        return _joined(Usage, None if _is_timed(before) else before, now)
    timings = chunk.get(_TIMINGS)
    if isinstance(timings, dict) and (before is None or _is_timed(before)):
        return _joined(Usage, before, _timed(timings))
    return before


def of_event(event: MessageEvent, before: Usage | MessageUsage | None) -> Usage | MessageUsage | None:
    """message_start has the first figures, message_delta later ones."""
    stated = event.message.get("usage") if isinstance(event.message, Part) else None
    first = leniently(MessageUsage, stated) if isinstance(stated, dict) else None
    return _joined(MessageUsage, _joined(MessageUsage, before, first), event.usage)


def _usage_in(chunk: ChatChunk) -> Usage | None:
    if chunk.usage is not None and chunk.usage.model_fields_set:
        return chunk.usage
    groq = chunk.get("x_groq")
    stated = groq.get("usage") if isinstance(groq, dict) else None
    return leniently(Usage, stated) if isinstance(stated, dict) and stated else None


def _timed(timings: Mapping[str, Any]) -> Usage:
    """llama.cpp counts what it read from its cache beside `prompt_n`."""
    prompt, cached = timings.get("prompt_n"), timings.get("cache_n")
    new, read = as_count(prompt), as_count(cached)
    usage = {
        "prompt_tokens": new + read if new and read else prompt,
        "completion_tokens": timings.get("predicted_n"),
        "cached_tokens": cached,
    }
    return leniently(Usage, {**usage, _TIMINGS: True})


def _is_timed(usage: Usage | MessageUsage | None) -> bool:
    return usage is not None and usage.get(_TIMINGS) is True


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
    """The later figure counts, because the first can be an estimate; but some servers repeat a 0 at the end.

    Of two lists the later one counts, unless it is shorter.
    """
    if isinstance(now, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {**known, **{name: _later(known.get(name), value) for name, value in now.items()}}
    if isinstance(before, list) and not (isinstance(now, list) and len(now) >= len(before)):
        return before
    return before if now == 0 and before is not None else now
