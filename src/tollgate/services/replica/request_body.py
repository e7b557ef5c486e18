"""Finds the malformed part of a body, after LiteLLM has failed with the request.

LiteLLM reads most of a body without checks. If it expects an object and finds a number, it raises a Python error. The
client would read that the gateway failed, although the request is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

# The largest body that is kept until its answer begins. Malformed bodies are rarely larger.
KEPT = 256 * 1024


class Body:
    """A copy of a request's body as it passes. `wrong` names its first malformed part."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size <= KEPT:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def wrong(self) -> str:
        """The first problem, as `field: what was expected`; empty if there is none or the body was too large."""
        if self._size > KEPT or not self._pieces:
            return ""
        try:
            body = json.loads(b"".join(self._pieces))
        except ValueError:
            return "the body: expected JSON"
        except RecursionError:
            return "the body: expected less nesting"
        return next(_problems(body), "")


def _problems(body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        yield "the body: expected an object"
        return
    if "messages" in body:
        yield from _objects("messages", body["messages"])
        for number, message in enumerate(body["messages"]):
            yield from _content(f"messages.{number}.content", message.get("content"))
    yield from _content("system", body.get("system"))
    for name in ("prompt", "input"):
        if name in body:
            yield from _words(name, body[name])
    for name in ("max_tokens", "max_completion_tokens", "n"):
        if body.get(name) is not None and (isinstance(body[name], bool) or not isinstance(body[name], int)):
            yield f"{name}: expected a whole number"
    if body.get("tools") is not None:
        yield from _objects("tools", body["tools"])
        for number, tool in enumerate(body["tools"]):
            yield from _tool(f"tools.{number}", tool)
    for name in ("metadata", "thinking", "stream_options", "response_format"):
        if body.get(name) is not None and not isinstance(body[name], dict):
            yield f"{name}: expected an object"


def _objects(path: str, value: Any) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected a list"
        return
    yield from (
        f"{path}.{number}: expected an object" for number, item in enumerate(value) if not isinstance(item, dict)
    )


def _content(path: str, value: Any) -> Iterator[str]:
    """Text, blocks, or nothing. A block of a tool's result contains content again."""
    if value is None or isinstance(value, str):
        return
    yield from _objects(path, value)
    for number, block in enumerate(value):
        place = f"{path}.{number}"
        if not isinstance(block.get("type"), str):
            yield f"{place}.type: expected text"
        for name in ("text", "thinking"):
            if name in block and not isinstance(block[name], str):
                yield f"{place}.{name}: expected text"
        for name in ("source", "input"):
            if name in block and not isinstance(block[name], dict):
                yield f"{place}.{name}: expected an object"
        yield from _content(f"{place}.content", block.get("content"))


def _words(path: str, value: Any) -> Iterator[str]:
    """Text, tokens, or a list of either."""
    if isinstance(value, str):
        return
    if not isinstance(value, list):
        yield f"{path}: expected text or a list"
        return
    for number, item in enumerate(value):
        tokens = isinstance(item, list) and all(isinstance(token, int) for token in item)
        if isinstance(item, bool) or not (isinstance(item, str | int) or tokens):
            yield f"{path}.{number}: expected text or tokens"


def _tool(path: str, tool: dict[str, Any]) -> Iterator[str]:
    function = tool.get("function", tool)
    if not isinstance(function, dict):
        yield f"{path}.function: expected an object"
        return
    for name in ("name", "description"):
        if function.get(name) is not None and not isinstance(function[name], str):
            yield f"{path}.{name}: expected text"
    for name in ("input_schema", "parameters"):
        yield from _schema(f"{path}.{name}", function.get(name))


def _schema(path: str, schema: Any) -> Iterator[str]:
    """The parts that LiteLLM reads to count tokens. JSON Schema allows `true` for a property, LiteLLM does not."""
    if schema is None:
        return
    if not isinstance(schema, dict):
        yield f"{path}: expected an object"
        return
    properties = schema.get("properties")
    if properties is not None and not isinstance(properties, dict):
        yield f"{path}.properties: expected an object"
        return
    for name, inner in (properties or {}).items():
        shown = "".join(letter for letter in name[:60] if letter.isprintable())
        if not isinstance(inner, dict):
            yield f"{path}.properties.{shown}: expected an object"
        else:
            yield from _schema(f"{path}.properties.{shown}", inner)
    if ("items" in schema or schema.get("type") == "array") and not isinstance(schema.get("items"), dict):
        yield f"{path}.items: expected an object"
    elif "items" in schema:
        yield from _schema(f"{path}.items", schema["items"])
    for name in ("required", "enum"):
        if name in schema and not isinstance(schema[name], list):
            yield f"{path}.{name}: expected a list"
