"""Content blocks of a user's turn as parts of a chat message, one table for all of their types."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tollgate.services.gateway.convert import documents, server_tools
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import CannotConvertError, Json, as_name, as_text, malformed, shown
from tollgate.services.gateway.convert.turns import THINKING, Placed

BETWEEN = "\n\n"


def parts(item: Placed, options: Options, *, in_result: bool) -> list[Json]:
    convert = PARTS.get(item.kind)
    if convert is None:
        raise misplaced(item, "a user's")
    return convert(item.block, item.field, options, in_result)


def _text(block: Json, field: str, _options: Options, _in_result: bool) -> list[Json]:
    return [documents.text_part(as_text(block.get("text"), f"{field}.text"))]


def _tool_reference(block: Json, field: str, _options: Options, _in_result: bool) -> list[Json]:
    """Deferred tools are offered from the beginning, so a tool that a search found needs only its name."""
    name = shown(as_name(block.get("tool_name") or block.get("name"), f"{field}.tool_name"))
    return [documents.text_part(f"The tool {name} can be called now.")]


def _browser_state(block: Json, _field: str, _options: Options, _in_result: bool) -> list[Json]:
    state = {name: block[name] for name in ("tabs", "state_changes") if name in block}
    return [documents.text_part(f"[State of the browser: {server_tools.in_json(state)}]")]


PARTS: dict[str, Callable[[Json, str, Options, bool], list[Json]]] = {
    "text": _text,
    "image": lambda block, field, options, in_result: [documents.image(block, field, options, in_result=in_result)],
    "document": lambda block, field, options, in_result: documents.document(block, field, options, in_result=in_result),
    "search_result": lambda block, field, _options, _in_result: [documents.search_result(block, field)],
    "tool_reference": _tool_reference,
    "browser_state": _browser_state,
}


def joined(parts: list[Json]) -> Any:
    """One text where there is nothing else: servers for local models do not all take lists of parts."""
    if all(part["type"] == "text" for part in parts):
        return BETWEEN.join(part["text"] for part in parts)
    return parts


KNOWN = frozenset((*PARTS, *THINKING, *server_tools.CALLS, *server_tools.RESULTS, "tool_use", "tool_result"))


def misplaced(item: Placed, whose: str) -> CannotConvertError:
    if item.kind == "container_upload":
        words = f"{item.field}: this model's server has no container for files"
        return CannotConvertError("provider_feature", item.field, words)
    if item.kind in KNOWN:
        return malformed(item.field, f"a content block of {whose} message")
    words = f"{item.field}: a content block of this type is unknown here"
    return CannotConvertError("unknown_block", item.field, words, final=False)
