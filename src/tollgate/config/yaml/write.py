"""Writes plain values as YAML: block style for files that people read, flow style inside braces and brackets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*(:[A-Za-z0-9_./@+-]+)*")
_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}  # some of them only to older readers


def block(value: Mapping[str, Any], column: int) -> str:
    margin, lines = " " * column, ""
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            lines += f"{margin}{scalar(name)}:\n{block(item, column + 2)}"
        elif isinstance(item, Sequence) and not isinstance(item, str) and item:
            lines += f"{margin}{scalar(name)}:\n"
            lines += "".join(list_item(entry, column + 2, f"{margin}  - ") for entry in item)
        else:
            lines += f"{margin}{scalar(name)}: {flow(item)}\n"
    return lines


def list_item(item: Any, column: int, dash: str) -> str:
    """A list item after its dash."""
    if isinstance(item, Mapping) and item:
        return dash + block(item, column + 2).removeprefix(" " * (column + 2))
    return f"{dash}{flow(item)}\n"


def flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(name)}: {flow(item)}" for name, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return scalar(value)


def scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str) and not (_PLAIN.fullmatch(value) and value.lower() not in _WORDS):
        return json.dumps(value, ensure_ascii=False)
    return str(value)
