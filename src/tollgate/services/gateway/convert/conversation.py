"""Turns of a conversation as the messages of a chat completion request."""

from __future__ import annotations

import json
from typing import Any

from tollgate.services.gateway.convert import carried, content, server_tools
from tollgate.services.gateway.convert.options import Options
from tollgate.services.gateway.convert.refusal import (
    CannotConvertError,
    Json,
    as_name,
    as_object,
    as_text,
    malformed,
)
from tollgate.services.gateway.convert.turns import THINKING, Placed, Turn, placed

# Servers refuse an empty message.
NO_OUTPUT = "(no output)"
ERROR = "Error: "


def messages(turns: list[Turn], options: Options) -> list[Json]:
    """The chat messages of `turns`. Raises CannotConvertError, also where calls and results of tools do not pair."""
    chat: list[Json] = []
    open_calls: dict[str, str] = {}
    for turn in turns:
        if turn.role == "assistant":
            message, open_calls = _assistant(turn, options)
            chat.append(message)
        else:
            chat += _user(turn, open_calls, options)
            open_calls = {}
    if open_calls:
        raise _unanswered(open_calls)
    return chat


def _assistant(turn: Turn, options: Options) -> tuple[Json, dict[str, str]]:
    """The message, and the calls in it that need a result: the id of each with its field."""
    texts: list[tuple[str, bool]] = []
    calls: list[Json] = []
    open_calls: dict[str, str] = {}
    for item in turn.blocks:
        if item.kind == "tool_use":
            call = _call(item)
            if call["id"] in open_calls:
                raise malformed(f"{item.field}.id", "an id that no other call of the turn has")
            calls.append(call)
            open_calls[call["id"]] = item.field
        elif item.kind not in THINKING and item.kind not in server_tools.SILENT:
            texts.append(_assistant_words(item))
    text = _joined(texts)
    message: Json = {"role": "assistant", "content": text or (None if calls else NO_OUTPUT)}
    message.update(_reasoning(turn, calls, options))
    if calls:
        message["tool_calls"] = calls
    return message, open_calls


def _joined(texts: list[tuple[str, bool]]) -> str:
    """Texts of one turn were one text before a thinking block or a citation cut it, so they join without a gap.

    Words that stand for another block (true in the pair) are set apart.
    """
    text, apart_before = "", False
    for words, apart in texts:
        if words:
            text += content.BETWEEN + words if text and (apart or apart_before) else words
            apart_before = apart
    return text


def _assistant_words(item: Placed) -> tuple[str, bool]:
    """The words of a block in an assistant's turn, and whether they are set apart from the text around them."""
    block = item.block
    if item.kind == "text":
        return as_text(block.get("text"), f"{item.field}.text"), False
    if item.kind in server_tools.CALLS:
        return server_tools.call_words(block), True
    if item.kind in server_tools.RESULTS:
        return server_tools.result_words(block), True
    if item.kind == "compaction":
        summary = block.get("content")
        return ("" if summary is None else as_text(summary, f"{item.field}.content")), True
    raise content.misplaced(item, "an assistant's")


def _call(item: Placed) -> Json:
    """A tool call. `arguments` is spaced as Python's json does it, which most models and chat templates write."""
    block = item.block
    try:
        arguments = json.dumps(as_object(block.get("input", {}), f"{item.field}.input"), ensure_ascii=False)
    except (RecursionError, ValueError):
        words = f"{item.field}.input: nested too deep"
        raise CannotConvertError("too_deep", f"{item.field}.input", words) from None
    return {
        "id": carried.inward_id(as_name(block.get("id"), f"{item.field}.id")),
        "type": "function",
        "function": {
            "name": carried.short_name(as_name(block.get("name"), f"{item.field}.name")),
            "arguments": arguments,
        },
    }


def _reasoning(turn: Turn, calls: list[Json], options: Options) -> Json:
    """The thinking of a turn in the upstream's own field. Encrypted thinking of other servers is left out."""
    history = options.reasoning_history
    if history == "none":
        return {}
    thinking = [(item, _details(item)) for item in turn.blocks if item.kind in THINKING]
    ours = [detail for item, details in thinking if carried.is_ours(_signature(item)) for detail in details]
    if history == "extra_content":
        extras = {detail.get("id"): detail.get("data") for detail in ours if carried.is_extra(detail)}
        for call in calls:
            if call["id"] in extras:
                call["extra_content"] = extras[call["id"]]
        return {}
    if history == "reasoning_details":
        ours = [detail for detail in ours if not carried.is_extra(detail)]
        return {"reasoning_details": ours} if ours else {}
    text = "".join(carried.detail_text(detail) for _, details in thinking for detail in details)
    # DeepSeek wants the field beside every tool call, empty or not (vercel/ai pull request 13203).
    return {history: text} if text or calls else {}


def _signature(item: Placed) -> Any:
    return item.block.get("data" if item.kind == "redacted_thinking" else "signature")


def _details(item: Placed) -> list[Json]:
    details = carried.unpack(_signature(item))
    if details or item.kind == "redacted_thinking":
        return details
    text = as_text(item.block.get("thinking", ""), f"{item.field}.thinking")
    return [{"type": "reasoning.text", "text": text}] if text else []


def _user(turn: Turn, open_calls: dict[str, str], options: Options) -> list[Json]:
    """One tool message for each call of the turn before, in the order of the calls; then one user message.

    A tool message holds text only (OpenAI's reference, ChatCompletionToolMessageParam), so images and files from
    results come first in the user message.
    """
    results: dict[str, Placed] = {}
    parts: list[Json] = []
    for item in turn.blocks:
        if item.kind != "tool_result":
            parts += content.parts(item, options, in_result=False)
            continue
        call = carried.inward_id(as_name(item.block.get("tool_use_id"), f"{item.field}.tool_use_id"))
        if call not in open_calls or call in results:
            words = f"{item.field}: expected a result of a tool_use block in the message before, and one for each call"
            raise CannotConvertError("unpaired_tool", item.field, words)
        results[call] = item
    if missing := {call: path for call, path in open_calls.items() if call not in results}:
        raise _unanswered(missing)
    chat: list[Json] = []
    attachments: list[Json] = []
    for call in open_calls:
        message, attached = _result(call, results[call], options)
        chat.append(message)
        attachments += attached
    parts = [*attachments, *parts]
    if parts:
        chat.append({"role": "user", "content": content.joined(parts)})
    elif not results:
        raise malformed(turn.field, "content that is not empty")
    return chat


def _result(call: str, item: Placed, options: Options) -> tuple[Json, list[Json]]:
    """A tool message, and what of the result it cannot hold."""
    given = item.block.get("content")
    blocks = [] if given is None else placed(given, f"{item.field}.content")
    parts = [part for block in blocks for part in content.parts(block, options, in_result=True)]
    attached = [part for part in parts if part["type"] != "text"]
    text = content.BETWEEN.join(part["text"] for part in parts if part["type"] == "text")
    if attached:
        text = content.BETWEEN.join(
            [*([text] if text else []), "(Images and files of this result are in the next message.)"]
        )
    text = text or NO_OUTPUT
    if item.block.get("is_error") is True and not text.startswith(ERROR):
        text = ERROR + text
    return {"role": "tool", "tool_call_id": call, "content": text}, attached


def _unanswered(calls: dict[str, str]) -> CannotConvertError:
    field = next(iter(calls.values()))
    return CannotConvertError("unpaired_tool", field, f"{field}: expected a tool_result for it in the next message")
