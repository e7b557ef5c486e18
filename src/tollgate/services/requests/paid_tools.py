"""Tools that a provider runs itself and bills by use, such as web search.

A model has a price for each such tool in config/gateway.yaml (`price.server_tools`). A request with a tool that has no
price is refused, because nobody could bill it. A tool that costs money needs `max_uses`: the most that it can cost is
reserved before the provider is asked. Pure: plain values in, plain values out.

Prices are nano-dollars for one use, by the tool's name: its type without the date, as in `web_search`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tollgate.services.requests.fields import shown

# Tools with a type of their own that cost no more than their tokens: the client runs them, or the provider bills only
# tokens. A tool that nobody knows yet may cost anything.
FREE = frozenset(
    (
        *("bash", "text_editor", "computer", "memory", "mcp_toolset", "web_fetch"),
        *("tool_search_tool_regex", "tool_search_tool_bm25"),
    )
)
MOST_USES = 1_000
_PLAIN = (None, "custom", "function")
_DATE = re.compile(r"_\d{8}$")

Prices = Mapping[str, int]


@dataclass(frozen=True)
class Tool:
    """A tool of a request with a type of its own. `field` is its path, `uses` its `max_uses` if that is a number."""

    name: str
    field: str
    uses: int | None


def nano_each(texts: Mapping[str, str]) -> dict[str, int]:
    """From USD as decimal texts. A price below a nano-dollar is rounded up, so that no use is free by accident."""
    return {name: math.ceil(Decimal(text) * 1_000_000_000) for name, text in texts.items()}


def problem(body: Mapping[str, Any], prices: Prices) -> str:
    """The first tool that cannot be billed, as `field: what to do`; empty without one."""
    for tool in _tools(body):
        if tool.name not in prices and tool.name not in FREE:
            return (
                f"{tool.field}: this model has no price for {shown(tool.name)}, a tool that its provider runs; leave "
                "it out, or ask the operator to set price.server_tools of the model in config/gateway.yaml"
            )
        if prices.get(tool.name) and tool.uses is None:
            return f"{tool.field}.max_uses: expected a whole number from 1 to {MOST_USES}, because each use costs money"
    return ""


def allowed(body: Mapping[str, Any], prices: Prices) -> dict[str, int]:
    """How often each tool with a price may run, by name. `problem` has found none."""
    uses: dict[str, int] = {}
    for tool in _tools(body):
        if prices.get(tool.name):
            uses[tool.name] = uses.get(tool.name, 0) + (tool.uses or 0)
    return uses


def most(body: Mapping[str, Any], prices: Prices) -> int:
    """The most that these tools cost, in nano-dollars."""
    return sum(prices[name] * uses for name, uses in allowed(body, prices).items())


def used(said: Any, seen: Iterable[str], body: Mapping[str, Any], prices: Prices, *, ended: bool) -> dict[str, int]:
    """How often each tool with a price ran, by name.

    `said` is `usage.server_tool_use` of the answer; `seen` has the name of each call that the answer shows. The count
    of the provider rules, because it bills no call that failed. If there is no such count, or the answer broke off
    before the last one, the calls that were seen count. No tool runs more often than the request allows.
    """
    told = said if isinstance(said, Mapping) else {}
    calls = list(seen)
    ran = {}
    for name, bound in allowed(body, prices).items():
        count, visible = _count(told.get(f"{name}_requests"), bound), min(calls.count(name), bound)
        ran[name] = visible if count is None else count if ended else max(count, visible)
    return {name: count for name, count in ran.items() if count}


def called(content: Any) -> list[str]:
    """The tools that the provider called, from the content of a whole answer."""
    blocks = (block for block in _list(content) if isinstance(block, Mapping))
    return [str(block.get("name")) for block in blocks if block.get("type") == "server_tool_use"]


def _tools(body: Mapping[str, Any]) -> Iterator[Tool]:
    for place, tool in enumerate(_list(body.get("tools"))):
        yield from _tool(tool, f"tools.{place}")
    # Tools that a system message adds in the middle of a conversation.
    for place, message in enumerate(_list(body.get("messages"))):
        if isinstance(message, Mapping) and message.get("role") == "system":
            for number, block in enumerate(_list(message.get("content"))):
                added = block.get("tool") if isinstance(block, Mapping) else None
                if isinstance(added, Mapping):
                    yield from _tool(added.get("definition"), f"messages.{place}.content.{number}.tool.definition")


def _tool(tool: Any, field: str) -> Iterator[Tool]:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    if kind in _PLAIN:
        return
    name = _DATE.sub("", kind) if isinstance(kind, str) else ""
    yield Tool(name, field, _count(tool.get("max_uses"), MOST_USES) or None)


def _count(value: Any, bound: int) -> int | None:
    """A count that can be believed."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= bound else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
