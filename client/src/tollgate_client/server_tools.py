"""Tools that a provider runs itself and bills by use, such as web search: what a request offers, how often they ran.

A tool's name is its type without the date, as in `web_search`. The gateway's ledger counts by the same rules. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tollgate_client.errors import ConfigurationError

# Tools with a type of their own that cost no more than their tokens. The gateway has the same list.
FREE = frozenset(
    (
        *("bash", "text_editor", "computer", "memory", "mcp_toolset", "web_fetch"),
        *("tool_search_tool_regex", "tool_search_tool_bm25"),
    )
)
_MOST_USES = 1_000
_PLAIN = (None, "custom", "function")
_DATE = re.compile(r"_\d{8}$")
_COUNT = "_requests"

# How often each tool of a request may run; None without a limit.
Offered = Mapping[str, int | None]


def offered(body: Mapping[str, Any]) -> dict[str, int | None]:
    """The tools with a type of their own in a request's plain JSON body."""
    tools: dict[str, int | None] = {}
    for tool in _tools(body):
        kind = tool.get("type")
        name = _DATE.sub("", kind) if isinstance(kind, str) else ""
        uses, before = _count(tool.get("max_uses"), _MOST_USES) or None, tools.get(name, 0)
        tools[name] = None if uses is None or before is None else before + uses
    return tools


def uses(stated: Mapping[str, object]) -> dict[str, int]:
    """How often each tool ran, as a program says it; ConfigurationError for what is no count."""
    found = {name: _count(count, None) for name, count in stated.items()}
    wrong = sorted(str(name) for name, count in found.items() if count is None)
    if wrong:
        raise ConfigurationError(f"expected uses of {', '.join(wrong)} as whole numbers of 0 or more")
    return {name: count for name, count in found.items() if count}


def counts(said: object, called: Iterable[str], tools: Offered | None) -> dict[str, int]:
    """How often each tool ran, without those that never did.

    `said` is `usage.server_tool_use` of a complete answer, and `called` has the name of each call that the answer
    shows. The provider's count rules, because it bills no call that failed. Without such a count the calls count. No
    tool runs more often than the request allows. Where the request is not known, `tools` is None.
    """
    told: Mapping[Any, Any] = said if isinstance(said, Mapping) else {}
    calls = list(called)
    named = [name.removesuffix(_COUNT) for name in told if isinstance(name, str) and name.endswith(_COUNT)]
    ran = {}
    for name, most in (dict.fromkeys(named) if tools is None else tools).items():
        count = _count(told.get(f"{name}{_COUNT}"), most)
        seen = calls.count(name)
        ran[name] = count if count is not None else seen if most is None else min(seen, most)
    return {name: count for name, count in ran.items() if count}


def larger(before: Any, now: Any) -> Any:
    """Of two counts of one stream. They never shrink; a value that is no count stays, and is not believed later."""
    if isinstance(now, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {**known, **{name: larger(known.get(name), value) for name, value in now.items()}}
    if now is None or before is None:
        return before if now is None else now
    first, second = _whole(before), _whole(now)
    if first is None or second is None:
        return before if first is None else now
    return max(first, second)


def _tools(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from _typed(body.get("tools"))
    # Tools that a system message adds in the middle of a conversation.
    for message in _mappings(body.get("messages")):
        if message.get("role") == "system":
            added = [block.get("tool") for block in _mappings(message.get("content"))]
            yield from _typed([tool.get("definition") for tool in _mappings(added)])


def _typed(tools: object) -> list[Mapping[str, Any]]:
    return [tool for tool in _mappings(tools) if tool.get("type") not in _PLAIN]


def _mappings(values: object) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def _count(value: Any, most: int | None) -> int | None:
    """A count that can be believed."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and value >= 0 and (most is None or value <= most) else None


def _whole(value: Any) -> int | None:
    """A number of 0 and more, also as 12.0, which some servers write."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(value) if isinstance(value, int) or value.is_integer() else None
