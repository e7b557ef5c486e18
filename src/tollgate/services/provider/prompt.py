"""A request in one form for both APIs: everything that the answer, the counting and the delivery need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """A tool that the client offers; `schema` is the JSON Schema of its input."""

    name: str
    schema: JsonObject


@dataclass(frozen=True)
class ToolChoice:
    """`auto`: call a tool if the user's text asks for it; `any`: always call a tool; `one`: always call `name`."""

    mode: Literal["auto", "any", "one", "none"] = "auto"
    name: str = ""
    parallel: bool = True


@dataclass(frozen=True)
class ToolResult:
    name: str
    text: str


@dataclass(frozen=True)
class InputUsage:
    """Tokens of the whole request. `cache_read` and `cache_write` are parts of `total`."""

    total: int
    cache_read: int = 0
    cache_write: int = 0
    cache_ttl: Literal["5m", "1h"] = "5m"

    @property
    def uncached(self) -> int:
        return self.total - self.cache_read - self.cache_write


@dataclass(frozen=True)
class Prompt:
    """`user_text` is the last user message's text without dials; `model_dials` and `text_dials` are dials as written.

    `tool_results` is empty unless the request ends with tool results. `json_schema` is None for a plain answer and
    {} for any JSON object. `thinking` says whether to think, and whether to show it. `safeguards` are the kinds of
    safeguards that the client asks for (anthropic/safeguards.py).
    """

    model: str
    user_text: str
    usage: InputUsage
    model_dials: tuple[str, ...] = ()
    text_dials: tuple[str, ...] = ()
    stream: bool = False
    include_usage: bool = False
    messages: int = 1
    images: int = 0
    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice()
    tool_results: tuple[ToolResult, ...] = ()
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: JsonObject | None = None
    thinking: Literal["off", "shown", "hidden"] = "off"
    system_roles: bool = False
    safeguards: tuple[str, ...] = ()
