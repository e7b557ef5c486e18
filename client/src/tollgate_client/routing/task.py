"""The needs of a request: read from the request alone, so the same request always reads the same. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tollgate_client.model_info import Tier

# A token has at least one byte, so a text has at most as many tokens as bytes; about four is usual.
BYTES_A_TOKEN = 4
# Added at most for the form of each message, for the provider's own prompt about tools, and for each image. Some models
# count an image of high detail as ten times the usual.
MESSAGE_TOKENS, TOOLS_TOKENS, IMAGE_TOKENS = 16, 1000, 50_000
# The usual size of the same.
_LIKELY_MESSAGE, _LIKELY_TOOLS, _LIKELY_IMAGE = 4, 300, 1500
# A last message of more tokens than this is no small task.
LONG_TOKENS = 2000
_CODE = re.compile(
    r"```|\b(?:code|coding|function|refactor|implement|compile|compiler|traceback|stack trace|regex|sql|unit tests?|"
    r"bug|debug|python|javascript|typescript|rust|golang|java|c\+\+|bash|kubernetes|dockerfile|pull request)\b",
    re.IGNORECASE,
)
_REASONING = re.compile(
    r"\b(?:prove|proof|derive|theorem|step by step|reason|reasoning|analy[sz]e|trade-?offs?|architecture|design|"
    r"strategy|root cause|optimi[sz]e|complexity|complex|in depth|thorough(?:ly)?|evaluate|plan)\b",
    re.IGNORECASE,
)
_IMAGES, _DOCUMENTS = ("image_url", "image"), ("file", "document", "input_file")
_TEXTS = ("text", "refusal", "tool_use", "tool_result", "thinking")


@dataclass(frozen=True)
class Task:
    """`most_input` is an upper bound of the prompt's tokens, None where it has parts whose size nobody knows.

    `uncounted` is the part of it that the gateway's count leaves out.

    `wanted` is the tier that the request's words ask for, and `why` the words for that.
    """

    likely_input: int
    most_input: int | None
    uncounted: int
    needs: frozenset[str]
    writes_cache: bool
    wanted: Tier
    why: str


def read(messages: Sequence[Mapping[str, Any]], more: Mapping[str, Any], quality: Tier | None = None) -> Task:
    """`messages` and the other fields of a chat body, as plain JSON."""
    parts = [part for message in messages for part in _parts(message.get("content"))]
    images = sum(part.get("type") in _IMAGES for part in parts)
    documents = any(part.get("type") in _DOCUMENTS for part in parts)
    unknown = any(part.get("type") not in (*_IMAGES, *_TEXTS) for part in parts)
    tools = more.get("tools") or ()
    form = more.get("response_format")
    # Providers and servers put fields of many names into the prompt, so each counts.
    uncounted = _size({name: value for name, value in more.items() if name != "tools"})
    size = _size([_without_images(message) for message in messages]) + _size(tools) + uncounted
    fixed = len(messages) * MESSAGE_TOKENS + (TOOLS_TOKENS if tools else 0) + images * IMAGE_TOKENS
    usual = len(messages) * _LIKELY_MESSAGE + (_LIKELY_TOOLS if tools else 0) + images * _LIKELY_IMAGE
    needs = {
        "images": bool(images),
        "documents": documents,
        "tools": bool(tools or more.get("functions")),
        "structured_output": isinstance(form, Mapping) and form.get("type") == "json_schema",
    }
    wanted, why = _wanted(messages, bool(tools), quality)
    return Task(
        likely_input=-(-size // BYTES_A_TOKEN) + usual,
        most_input=None if unknown else size + fixed,
        uncounted=uncounted,
        needs=frozenset(name for name, needed in needs.items() if needed),
        writes_cache="cache_control" in json.dumps([messages, more]),
        wanted=wanted,
        why=why,
    )


def _wanted(messages: Sequence[Mapping[str, Any]], tools: bool, quality: Tier | None) -> tuple[Tier, str]:
    """The first rule that holds decides."""
    text = _last_text(messages)
    if quality:
        return quality, f"you asked for {quality}"
    if word := _REASONING.search(text):
        return "large", f"it asks for reasoning ({word[0].lower()!r})"
    if word := _CODE.search(text):
        return "medium", f"it is about code ({word[0].lower()!r})"
    if tools:
        return "medium", "it has tools"
    if len(text.encode()) > LONG_TOKENS * BYTES_A_TOKEN:
        return "medium", "it is long"
    return "small", "it is short and plain"


def _last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of the last message of the user."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            return " ".join(str(part.get("text") or "") for part in _parts(content))
    return ""


def _parts(content: Any) -> Iterator[Mapping[str, Any]]:
    """The parts of a message's content, and those inside of them: the result of a tool can hold images."""
    for part in content if isinstance(content, list) else ():
        if isinstance(part, Mapping):
            yield part
            yield from _parts(part.get("content"))


def _without_images(value: Any) -> Any:
    """Images count by IMAGE_TOKENS, not by their bytes; all else of their part counts."""
    if isinstance(value, list):
        return [_without_images(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    dropped = ("image_url", "source") if value.get("type") in _IMAGES else ()
    return {name: _without_images(item) for name, item in value.items() if name not in dropped}


def _size(value: Any) -> int:
    """The bytes of `value` as JSON, which is how prompts hold what is not plain text."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
