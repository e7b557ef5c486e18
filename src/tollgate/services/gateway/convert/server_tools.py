"""Tools that Anthropic's servers run, and what they leave in a conversation.

A chat upstream cannot run them. Their definitions are left out beside other tools (see tools.py); calls and results in
earlier turns become words, so the model still knows what was searched, fetched or computed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tollgate.services.gateway.convert.refusal import Json, shown

CALLS = ("server_tool_use", "mcp_tool_use")
RESULTS = (
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
    "tool_search_tool_result",
    "advisor_tool_result",
    "mcp_tool_result",
)
# They say nothing to a model: the hop to another model, the tools an MCP server listed, a file in a container.
SILENT = ("fallback", "mcp_tool_listing")
# Readable fields of results, in the order of the words. Encrypted content is for Anthropic alone.
READABLE = (
    "title",
    "url",
    "page_age",
    "text",
    "data",
    "stdout",
    "stderr",
    "return_code",
    "content",
    "lines",
    "source",
    "tool_name",
    "tool_references",
    "error_code",
    "error_message",
)
MOST_DEPTH = 8


def call_words(block: Json) -> str:
    """`[Called the tool web_search: {"query": "…"}]`."""
    name = block.get("name")
    return (
        f"[Called the tool {shown(name) if isinstance(name, str) else 'without a name'}: {in_json(block.get('input'))}]"
    )


def in_json(value: Any) -> str:
    """The value as text, or `…` where it is nested too deep to be written."""
    try:
        return json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):
        return "…"


def result_words(block: Json) -> str:
    """A result's readable fields, one a line, below `[Result of web_search]`."""
    name = str(block["type"]).removesuffix("_tool_result")
    lines = [line for line in _words(block.get("content"), MOST_DEPTH) if line]
    return "\n".join([f"[Result of {name}]", *lines])


def _words(value: Any, depth: int) -> Iterator[str]:
    if depth == 0 or value is None or isinstance(value, bool):
        return
    if isinstance(value, dict):
        for name in READABLE:
            yield from _words(value.get(name), depth - 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner, depth - 1)
    elif isinstance(value, str | int | float):
        yield str(value)
