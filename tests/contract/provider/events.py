"""A check of the order of events in an Anthropic stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def check_order(events: Iterable[Mapping[str, Any]]) -> None:
    """message_start; blocks 0, 1, … each opened, filled and closed before the next; message_delta; message_stop.

    Pings may stand anywhere between. Raises AssertionError with the first event out of place.
    """
    seen = [event for event in events if event["type"] != "ping"]
    assert seen, "no event at all"
    assert seen[0]["type"] == "message_start", f"opens with {seen[0]['type']}"
    assert [event["type"] for event in seen[-2:]] == ["message_delta", "message_stop"], "ends wrongly"
    opened: int | None = None
    closed = 0
    for event in seen[1:-2]:
        match event["type"]:
            case "content_block_start":
                assert opened is None, f"block {event['index']} opens inside block {opened}"
                assert event["index"] == closed, f"block {event['index']} opens where {closed} is due"
                opened = closed
            case "content_block_delta":
                assert opened is not None, "a delta outside any block"
                assert event["index"] == opened, f"a delta of block {event['index']} inside block {opened}"
            case "content_block_stop":
                assert event["index"] == opened, f"block {event['index']} closes, {opened} is open"
                opened, closed = None, closed + 1
            case other:
                raise AssertionError(f"{other} among the blocks")
    assert opened is None, f"block {opened} is never closed"
