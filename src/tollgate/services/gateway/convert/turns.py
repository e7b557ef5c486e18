"""The messages of a request as turns that alternate between user and assistant, as chat templates demand.

Anthropic joins messages of the same role that follow each other
(https://platform.claude.com/docs/en/api/messages, `messages`), and so does this. A system message in the middle becomes
words of the user's turn beside it, in Claude Code's own mark for words that are neither the user's nor the model's:
many chat templates take a system message only at the beginning, and roles must take turns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tollgate.services.gateway.convert.refusal import (
    CannotConvertError,
    Json,
    as_list,
    as_object,
    as_text,
    malformed,
    shown,
)

THINKING = ("thinking", "redacted_thinking")


@dataclass(frozen=True)
class Placed:
    """A content block with the path of its field in the request."""

    field: str
    block: Json

    @property
    def kind(self) -> str:
        return str(self.block["type"])


@dataclass
class Turn:
    role: Literal["user", "assistant"]
    field: str
    blocks: list[Placed]


@dataclass
class Conversation:
    """`system` are the words of system messages before the first turn. `tools` were defined in the middle of it."""

    system: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tools: list[Placed] = field(default_factory=list)


def read(messages: Any) -> Conversation:
    """The turns of `messages`. Raises CannotConvertError where a message has not the shape of the Messages API."""
    if messages is None or messages == []:
        raise malformed("messages", "at least one message")
    conversation = Conversation()
    waiting: list[Placed] = []
    for place, message in enumerate(as_list(messages, "messages")):
        path = f"messages.{place}"
        message = as_object(message, path)
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise malformed(f"{path}.role", "'user', 'assistant' or 'system'")
        blocks = placed(message.get("content"), f"{path}.content")
        if role == "system":
            _system(conversation, blocks, path, waiting)
            continue
        if role == "assistant" and not any(_says_something(block) for block in blocks):
            continue
        if role == "user" and waiting:
            blocks, waiting = [*waiting, *blocks], []
        _append(conversation.turns, Turn(role, path, blocks))
    if waiting:
        _append(conversation.turns, Turn("user", waiting[0].field, waiting))
    return conversation


def placed(content: Any, path: str) -> list[Placed]:
    """`content` as blocks, each with its path. Text is short for one text block; texts without letters are left out."""
    if isinstance(content, str):
        return [Placed(path, {"type": "text", "text": content})] if content else []
    if not isinstance(content, list):
        raise malformed(path, "text or a list of content blocks")
    blocks = []
    for place, block in enumerate(content):
        within = f"{path}.{place}"
        kind = as_object(block, within).get("type")
        if not isinstance(kind, str):
            raise malformed(f"{within}.type", "the type of a content block")
        if kind != "text" or as_text(block.get("text"), f"{within}.text"):
            blocks.append(Placed(within, block))
    return blocks


def _append(turns: list[Turn], turn: Turn) -> None:
    if turns and turns[-1].role == turn.role:
        turns[-1].blocks.extend(turn.blocks)
    else:
        turns.append(turn)


def _says_something(block: Placed) -> bool:
    """An assistant message of thinking alone would be empty for an upstream."""
    return block.kind not in THINKING


def _system(conversation: Conversation, blocks: list[Placed], path: str, waiting: list[Placed]) -> None:
    words = [text for block in blocks if (text := _system_words(block, conversation))]
    if not conversation.turns:
        conversation.system += words
        return
    reminders = [
        Placed(path, {"type": "text", "text": f"<system-reminder>\n{text}\n</system-reminder>"}) for text in words
    ]
    if conversation.turns[-1].role == "user":
        conversation.turns[-1].blocks += reminders
    else:
        waiting += reminders


def _system_words(placed_block: Placed, conversation: Conversation) -> str:
    """The words of a block in a system message; a tool that it defines is noted.

    A tool that is added or removed by name is only spoken of: another list of tools would change the beginning of the
    request (https://platform.claude.com/docs/build-with-claude/mid-conversation-system-messages).
    """
    block, path = placed_block.block, placed_block.field
    if placed_block.kind == "text":
        return as_text(block.get("text"), f"{path}.text")
    if placed_block.kind not in ("tool_addition", "tool_removal"):
        words = f"{path}: a block of this type in a system message is unknown here"
        raise CannotConvertError("unknown_block", path, words, final=False)
    tool = as_object(block.get("tool"), f"{path}.tool")
    if tool.get("type") == "tool_definition":
        definition = as_object(tool.get("definition"), f"{path}.tool.definition")
        conversation.tools.append(Placed(f"{path}.tool.definition", definition))
        name = definition.get("name") or definition.get("type")
    else:
        name = tool.get("name")
    if not isinstance(name, str):
        words = f"{path}.tool: a change of tools of this kind is unknown here"
        raise CannotConvertError("unknown_block", f"{path}.tool", words, final=False)
    can = "can be called now" if placed_block.kind == "tool_addition" else "cannot be called any more"
    return f"The tool {shown(name)} {can}."
