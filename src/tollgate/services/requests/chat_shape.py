"""Rewrites a Messages request for upstreams other than Anthropic: only Anthropic understands some of its parts.

Pure: fields in, new fields out. The same conversation gives the same result on every turn, so an upstream's prefix
cache keeps working.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tollgate.services.requests import surcharges

Fields = dict[str, Any]
Block = dict[str, Any]

# A block for Anthropic's own accounting. It is first in the prompt and differs in each session, so with it no two
# sessions would share a cached prefix.
BILLING = "x-anthropic-billing-header:"
# LiteLLM emulates these for other upstreams. It would refuse any other edit, or pay a second model for it.
EMULATED_EDITS = ("clear_tool_uses_20250919",)
# A tool that the upstream itself must run: it finds other tools. Instead, deferred tools are offered immediately.
TOOL_SEARCH = "tool_search_tool_"
TOOL_FIELDS = ("type", "name", "description", "input_schema", "cache_control", "strict")
MESSAGE_FIELDS = ("role", "content")
# These fields mean nothing to others, and servers that check their input would refuse the whole request.
ANTHROPIC_ONLY = ("safeguards", "container", "mcp_servers", "inference_geo", "speed", "compaction")
# These providers use `metadata` to keep a session on one cache; others would only learn about the user's device. They
# refuse a message with reasoning in it, which others accept.
OPENAI = ("openai", "azure")
REASONING = ("thinking", "redacted_thinking")


def for_others(
    fields: Mapping[str, Any], *, sent: Iterable[str], known: Callable[[str], bool], provider: str
) -> Fields:
    """`fields` of a Messages call for an upstream that is not Anthropic's.

    `sent` are the names of the client's fields. Names that are not `known` are removed, because LiteLLM would pass them
    on unchanged. Names of surcharges.py are removed too: with them the answer costs more than the model's price.
    """
    shaped = {name: value for name, value in fields.items() if name not in ANTHROPIC_ONLY}
    for name in sent:
        if not known(name) or name in surcharges.NAMES:
            shaped.pop(name, None)
    if provider not in OPENAI:
        shaped.pop("metadata", None)
    _put(shaped, "context_management", _context_management(fields.get("context_management")))
    system = _without_billing(fields.get("system"))
    messages = fields.get("messages")
    if isinstance(messages, list):
        first, shaped["messages"] = _messages(messages, without=REASONING if provider in OPENAI else ())
        system = [*_blocks(system), *first] if first else system
    _put(shaped, "system", system or None)
    tools = fields.get("tools")
    if isinstance(tools, list):
        _put(shaped, "tools", [_tool(tool) for tool in tools if not _searches_tools(tool)] or None)
    return shaped


def _put(fields: Fields, name: str, value: object) -> None:
    if value is None:
        fields.pop(name, None)
    else:
        fields[name] = value


def _without_billing(system: object) -> object:
    if isinstance(system, str) and system.startswith(BILLING):
        return system.partition("\n")[2]
    if isinstance(system, list):
        return [block for block in system if not (_is(block, "text") and _text(block).startswith(BILLING))]
    return system


def _context_management(wanted: object) -> object:
    if not isinstance(wanted, dict) or not isinstance(wanted.get("edits"), list):
        return None
    edits = [edit for edit in wanted["edits"] if isinstance(edit, dict) and edit.get("type") in EMULATED_EDITS]
    return {"edits": edits} if edits else None


def _messages(messages: list[Any], *, without: tuple[str, ...]) -> tuple[list[Block], list[Any]]:
    """The blocks of leading system messages, and the other messages. Later system messages join a user's turn as text.

    They do not get a turn of their own, because chat templates require alternating roles. They are placed after the
    tool results of a turn, because results must follow their calls directly.
    """
    leading: list[Block] = []
    turns: list[Any] = []
    waiting: list[Block] = []
    for message in messages:
        if not isinstance(message, dict):
            turns.append(message)
            continue
        if message.get("role") == "system":
            if not turns:
                leading += _blocks(message.get("content"))
            elif _is_user(turns[-1]):
                turns[-1]["content"] += _reminders(message)
            else:
                waiting += _reminders(message)
            continue
        turn = {name: message[name] for name in MESSAGE_FIELDS if name in message}
        if isinstance(turn.get("content"), list) or _is_user(turn):
            blocks = _blocks(turn.get("content"))
            turn["content"] = [_block(block) for block in blocks if not _is(block, *without)]
        if waiting and _is_user(turn):
            place = sum(_is(block, "tool_result") for block in turn["content"])
            turn["content"][place:place] = waiting
            waiting = []
        turns.append(turn)
    if waiting:
        turns.append({"role": "user", "content": waiting})
    return leading, turns


def _reminders(message: Mapping[str, Any]) -> list[Block]:
    """The texts in Claude Code's own tags for text that is neither the user's nor the model's."""
    texts = [_text(block) for block in _blocks(message.get("content"))]
    return [{"type": "text", "text": f"<system-reminder>\n{text}\n</system-reminder>"} for text in texts if text]


def _block(block: object) -> Any:
    """Replace a reference to a found tool with a sentence; the request's tools contain that tool."""
    if not _is(block, "tool_result") or not isinstance(block, dict) or not isinstance(block.get("content"), list):
        return block
    content = [
        {"type": "text", "text": f"The tool {part.get('tool_name')} can be called now."}
        if _is(part, "tool_reference")
        else part
        for part in block["content"]
    ]
    return {**block, "content": content}


def _searches_tools(tool: object) -> bool:
    return isinstance(tool, dict) and str(tool.get("type", "")).startswith(TOOL_SEARCH)


def _tool(tool: object) -> Any:
    """A tool without Anthropic's own fields. Server tools (without a schema) keep their options for LiteLLM."""
    if not isinstance(tool, dict):
        return tool
    if "input_schema" in tool:
        return {name: tool[name] for name in TOOL_FIELDS if name in tool}
    return {name: value for name, value in tool.items() if name != "defer_loading"}


def _blocks(content: object) -> list[Any]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return list(content) if isinstance(content, list) else []


def _is_user(message: object) -> bool:
    return isinstance(message, dict) and message.get("role") == "user"


def _is(block: object, *kinds: str) -> bool:
    return isinstance(block, dict) and block.get("type") in kinds


def _text(block: object) -> str:
    text = block.get("text") if isinstance(block, dict) else block
    return text if isinstance(text, str) else ""
