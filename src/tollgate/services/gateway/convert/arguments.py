"""The arguments of a tool call: text that should be one JSON object, and often is not quite."""

from __future__ import annotations

import json
from typing import Any

from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.convert.upstream_error import Loads, UpstreamFailedError

FENCE = "```"
NOTHING = ("", "null", "{}")


def parse(arguments: Any, loads: Loads = json.loads) -> Json:
    """The object in `arguments`. Nothing at all is {}.

    Mended: an object instead of text (Ollama's own form), text that was encoded twice, a code fence around the object,
    bare line breaks in strings, a `{}` before the real object (litellm sends it at the start of a stream).
    Raises UpstreamFailedError("bad_tool_call") for anything else: half a call must not be run.
    """
    if arguments is None:
        return {}
    if isinstance(arguments, dict):
        return arguments
    if not isinstance(arguments, str):
        raise UpstreamFailedError("bad_tool_call", type(arguments).__name__)
    text = _unfenced(arguments.strip())
    if text in NOTHING:
        return {}
    if text.startswith("{}"):
        text = text[2:].lstrip()
    value = _value(text, loads)
    if isinstance(value, str):
        value = _value(value, loads) if value.strip() not in NOTHING else {}
    if not isinstance(value, dict):
        raise UpstreamFailedError("bad_tool_call", text)
    return value


def is_complete(text: str, loads: Loads) -> bool:
    """Whether `text` is one JSON object already."""
    try:
        return isinstance(loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _value(text: str, loads: Loads) -> Any:
    try:
        return loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        raise UpstreamFailedError("bad_tool_call", text) from None


def _unfenced(text: str) -> str:
    if not (text.startswith(FENCE) and text.endswith(FENCE)):
        return text
    return text.strip("`").removeprefix("json").strip()
