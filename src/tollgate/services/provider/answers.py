"""The provider's answers, for both APIs. The same prompt gives the same answer, whole or streamed.

It calls a tool if the request forces it, or if the last user message has the exact name of an offered tool in one of
these phrases: `use NAME`, `call NAME`, `use the NAME tool`, `call the tool NAME`. A JSON object right after the name
becomes the tool's input (`use Bash {"command": "ls"}`). Otherwise the tool's schema determines the input. Several
phrases make several calls. After a tool result, the answer is text that quotes the result. Text inside
<system-reminder> tags is ignored, because clients put their own instructions there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tollgate.services.provider import tokens
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.checks import loads
from tollgate.services.provider.dials import Dials
from tollgate.services.provider.prompt import JsonObject, Prompt, Tool
from tollgate.services.provider.schema_values import SchemaError, value_for

Stop = Literal["end", "length", "stop_sequence", "tool", "refusal"]
QUOTE_CHARACTERS = 200


@dataclass(frozen=True)
class Text:
    text: str

    @property
    def tokens(self) -> int:
        return tokens.count(self.text)


@dataclass(frozen=True)
class Thinking:
    """If `shown` is False, only the signature is sent. The tokens count anyway, as with real providers."""

    text: str
    shown: bool

    @property
    def tokens(self) -> int:
        return tokens.count(self.text)

    @property
    def signature(self) -> str:
        return base64.b64encode(hashlib.sha512(self.text.encode()).digest()).decode()


@dataclass(frozen=True)
class ToolCall:
    """`arguments` is compact JSON."""

    name: str
    arguments: str

    @property
    def tokens(self) -> int:
        return tokens.count(self.name) + tokens.count(self.arguments)


Block = Text | Thinking | ToolCall


@dataclass(frozen=True)
class Answer:
    blocks: tuple[Block, ...]
    stop: Stop
    stop_sequence: str | None = None

    @property
    def tokens(self) -> int:
        return sum(block.tokens for block in self.blocks)


# Anthropic's answer if its model refuses. OpenAI's API has an error instead.
REFUSED = Answer((), "refusal")


def answer(prompt: Prompt, dials: Dials) -> Answer:
    """Thinking if requested, then tool calls, JSON or text. Stop sequences and max_tokens can shorten it."""
    blocks: list[Block] = []
    if prompt.thinking != "off":
        blocks.append(Thinking(_thought(prompt), shown=prompt.thinking == "shown"))
    calls = list(_calls(prompt))
    if calls:
        return _limited(Answer((*blocks, *calls), "tool"), prompt.max_tokens)
    if prompt.json_schema is not None:
        text = tokens.compact(_json_answer(prompt, prompt.json_schema))
    else:
        text = _sized(_sentences(prompt), dials.tokens)
    text, stop = _stopped(text, prompt.stop)
    whole = Answer((*blocks, Text(text)), "stop_sequence" if stop else "end", stop)
    return _limited(whole, prompt.max_tokens)


def visible(text: str) -> str:
    """The user's own text, without system reminders and with single spaces."""
    return " ".join(_REMINDER.sub(" ", text).split())


def quote(text: str) -> str:
    words = visible(text)
    return words if len(words) <= QUOTE_CHARACTERS else words[:QUOTE_CHARACTERS].rstrip() + "…"


def _sentences(prompt: Prompt) -> str:
    if prompt.tool_results:
        opening = " ".join(
            f"The tool {result.name} answered: “{quote(result.text)}”." for result in prompt.tool_results
        )
    elif words := quote(prompt.user_text):
        opening = f"You asked: “{words}”."
    else:
        opening = "You asked nothing in words."
    seen = [_counted(prompt.messages, "message")]
    seen += [_counted(prompt.images, "image")] if prompt.images else []
    seen += [_counted(len(prompt.tools), "tool") + " to call"] if prompt.tools else []
    return (
        f"{opening} This is {prompt.model}, the gateway's embedded provider. It runs no language model: it made this "
        f"answer from your words alone, to show that a request travels through the gateway and back. "
        f"It came with {', '.join(seen)} and counted {_counted(prompt.usage.total, 'input token')}."
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _thought(prompt: Prompt) -> str:
    return f"I am asked: “{quote(prompt.user_text)}”. I have {_counted(len(prompt.tools), 'tool')}. I shall answer."


def _sized(text: str, wanted: int | None) -> str:
    """`text` of exactly `wanted` tokens: cut short, or followed by numbered filler."""
    if wanted is None:
        return text
    short = wanted - tokens.count(text)
    if short > 0:
        # A sentence is over four tokens, so `short` of them is more than enough.
        sentences = (f" Line {number} of the length that was dialled." for number in range(1, short + 2))
        text += "".join(sentences)
    return tokens.cut(text, wanted)


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """`text` up to its first stop sequence, and that sequence; the whole text and None without one."""
    places = [(text.index(stop), stop) for stop in stops if stop and stop in text]
    if not places:
        return text, None
    place, stop = min(places)
    return text[:place], stop


def _limited(whole: Answer, limit: int | None) -> Answer:
    """At most `limit` tokens. Text or thinking is cut at the limit; a tool call that does not fit is left out."""
    if limit is None or whole.tokens <= limit:
        return whole
    kept: list[Block] = []
    for block in whole.blocks:
        if block.tokens <= limit:
            kept.append(block)
            limit -= block.tokens
            continue
        if isinstance(block, Text) and limit:
            kept.append(Text(tokens.cut(block.text, limit)))
        elif isinstance(block, Thinking) and limit:
            kept.append(Thinking(tokens.cut(block.text, limit), block.shown))
        break
    return Answer(tuple(kept), "length")


def _json_answer(prompt: Prompt, schema: JsonObject) -> object:
    words = quote(prompt.user_text) or "example"
    return _generated(schema, words, "answer format") if schema else {"answer": words}


def _calls(prompt: Prompt) -> Iterator[ToolCall]:
    choice = prompt.choice
    if choice.mode == "none" or not prompt.tools:
        return
    forced = choice.mode in ("any", "one")
    if prompt.tool_results and not forced:
        return
    offered = {tool.name: tool for tool in prompt.tools if choice.mode != "one" or tool.name == choice.name}
    asked = list(_asked_for(prompt.user_text, offered))
    if not asked and forced:
        asked = [(next(iter(offered.values())), None)]
    for tool, arguments in asked if choice.parallel else asked[:1]:
        yield ToolCall(tool.name, tokens.compact(_input(tool) if arguments is None else arguments))


def _input(tool: Tool) -> object:
    value = _generated({"type": "object", **tool.schema}, "example", f"tool {tool.name}")
    return value if isinstance(value, dict) else {}


def _generated(schema: JsonObject, fill: str, where: str) -> object:
    try:
        return value_for(schema, fill=fill)
    except SchemaError as error:
        raise ApiError(400, f"{where}: JSON schema is invalid: {error}") from error


def _asked_for(text: str, offered: dict[str, Tool]) -> Iterator[tuple[Tool, JsonObject | None]]:
    text = _REMINDER.sub(" ", text)
    for match in _ASKS.finditer(text):
        if (tool := offered.get(match["name"])) is not None:
            yield tool, _object_at(text, match.end())


def _object_at(text: str, place: int) -> JsonObject | None:
    try:
        text = text[place:].lstrip()
        _, end = json.JSONDecoder().raw_decode(text)
        value = loads(text[:end].encode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


_REMINDER = re.compile(r"<system-reminder>.*?(?:</system-reminder>|\Z)", re.DOTALL)
_ASKS = re.compile(
    r"\b(?:[Uu]se|[Cc]all)\s+(?:the\s+)?(?:tool\s+)?[`\"'“]?(?P<name>[A-Za-z0-9_.:-]*[A-Za-z0-9_])[`\"'”]?(?:\s+tool\b)?"
)
