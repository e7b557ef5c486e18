"""Definitions of tools and the choice among them.

A tool with a type of its own and no schema (`web_search_20250305`, `bash_20250124`, `mcp_toolset`, …) is known to
Anthropic's models alone, and most of them run on Anthropic's servers. It is left out beside other tools. It is refused
where nothing else is offered or where the client forces it: an answer without it would invent results
(omlx issue 1002, claude-code issue 61624).
"""

from __future__ import annotations

from tollgate.services.gateway.convert import schemas
from tollgate.services.gateway.convert.carried import short_name
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import (
    CannotConvertError,
    Json,
    as_list,
    as_name,
    as_object,
    as_text,
    malformed,
    shown,
)
from tollgate.services.gateway.convert.turns import Placed


def fields(body: Json, added: list[Placed], options: Options) -> Json:
    """`tools`, `tool_choice` and `parallel_tool_calls` of the chat request. `added` are defined among the messages.

    Deferred tools (`defer_loading`) are offered with the others: a chat upstream has no search for tools.
    """
    offered = body.get("tools")
    listed = [] if offered is None else as_list(offered, "tools")
    all_tools = [Placed(f"tools.{place}", as_object(tool, f"tools.{place}")) for place, tool in enumerate(listed)]
    functions: dict[str, Json] = {}
    left_out: dict[str, str] = {}
    for item in [*all_tools, *added]:
        name = _name(item)
        if _is_server_tool(item):
            left_out.setdefault(name, item.field)
        elif name not in functions:
            functions[name] = _function(name, item)
        elif item not in added:
            raise malformed(f"{item.field}.name", "a name that no other tool has")
    choice = body.get("tool_choice")
    chosen: Json = {} if choice is None else _choice(as_object(choice, "tool_choice"), functions, left_out)
    if not functions:
        if left_out and chosen.get("tool_choice") != "none":
            raise _server_tool(*next(iter(left_out.items())))
        return {}
    if not options.parallel_tool_calls:
        chosen.pop("parallel_tool_calls", None)
    return {"tools": list(functions.values()), **chosen}


def _name(item: Placed) -> str:
    """A tool's name. A toolset has none, and is called by its type."""
    kind = item.block.get("type")
    if item.block.get("name") is None and isinstance(kind, str) and kind != "custom":
        return kind
    return as_name(item.block.get("name"), f"{item.field}.name")


def _is_server_tool(item: Placed) -> bool:
    kind = item.block.get("type")
    if kind is not None and not isinstance(kind, str):
        raise malformed(f"{item.field}.type", "the type of a tool")
    return kind not in (None, "custom") and item.block.get("input_schema") is None


def _function(name: str, item: Placed) -> Json:
    function: Json = {"name": short_name(name)}
    description = item.block.get("description")
    if description is not None:
        function["description"] = as_text(description, f"{item.field}.description")
    function["parameters"] = schemas.of_tool(item.block.get("input_schema"), f"{item.field}.input_schema")
    if item.block.get("strict") is True and schemas.is_strict(function["parameters"]):
        function["strict"] = True
    return {"type": "function", "function": function}


def _choice(choice: Json, functions: dict[str, Json], left_out: dict[str, str]) -> Json:
    chosen: Json = {}
    match choice.get("type"):
        case "auto":
            chosen["tool_choice"] = "auto"
        case "none":
            return {"tool_choice": "none"}
        case "any":
            if not functions and not left_out:
                raise malformed("tool_choice", "tools to choose from")
            chosen["tool_choice"] = "required"
        case "tool":
            name = as_name(choice.get("name"), "tool_choice.name")
            if name in left_out and name not in functions:
                raise _server_tool(name, "tool_choice.name")
            if name not in functions:
                raise malformed("tool_choice.name", "the name of one of the tools")
            chosen["tool_choice"] = {"type": "function", "function": {"name": short_name(name)}}
        case _:
            raise malformed("tool_choice.type", "'auto', 'any', 'tool' or 'none'")
    if choice.get("disable_parallel_tool_use") is True:
        chosen["parallel_tool_calls"] = False
    return chosen


def _server_tool(name: str, field: str) -> CannotConvertError:
    words = f"{field}: this model cannot use {shown(name)}, a tool of Anthropic's own servers; choose a Claude model"
    return CannotConvertError("server_tool", field, words)
