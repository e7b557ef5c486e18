"""Turns YAML nodes into plain values with lines. It collects all problems and raises nothing.

Reads nodes rather than loading objects: duplicate keys are all found, aliases cannot blow up (`MAX_NODES`), no tag
can build anything but text, numbers, booleans, lists and mappings.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tollgate.config.yaml.nodes import TAG, MappingNode, Node, ScalarNode, SequenceNode
from tollgate.config.yaml.text import hidden_character
from tollgate.errors import Problem

MAX_NODES = (
    50_000  # aliases counted each time they are used: a 1 KiB "YAML bomb" reaches this, an ordinary file does not
)
MAX_DEPTH = 32

_MAP, _SEQ, _STR, _NULL, _BOOL, _INT, _FLOAT, _TIMESTAMP, _MERGE = (
    TAG + name for name in ("map", "seq", "str", "null", "bool", "int", "float", "timestamp", "merge")
)

Loc = tuple[str | int, ...]


def dotted(loc: Loc) -> str:
    """`("models", "a", "targets", 0)` as `models.a.targets[0]`; hidden characters and long keys are made visible."""
    text = ""
    for part in loc:
        text += f"[{part}]" if isinstance(part, int) else f".{visible(part)}" if text else visible(part)
    return text


def visible(text: str, most: int = 60) -> str:
    """Text on one line, in ASCII, so that a look-alike letter is visible."""
    short = text if len(text) <= most else text[: most - 3] + "..."
    return short if short.isascii() and short.isprintable() else ascii(short)[1:-1]


def kind(value: object) -> str:
    """The kind of a value, in plain words."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
    return "nothing" if value is None else names.get(type(value), type(value).__name__)


class Reader:
    """Turns nodes into values; collects problems and lines on the way."""

    def __init__(self, file: Path, *, escapes: bool) -> None:
        self.file = file
        self._escapes = escapes
        self.problems: list[Problem] = []
        self.lines: dict[Loc, int] = {}
        self._count = 0
        self._open: set[int] = set()

    def value(self, node: Node, loc: Loc) -> Any:
        self._count += 1
        if self._count == MAX_NODES:
            self._problem(node, (), f"more than {MAX_NODES} values (aliases are counted each time they are used)")
        if self._count >= MAX_NODES:
            return None
        if len(loc) > MAX_DEPTH:
            self._problem(node, loc[:3], f"nested deeper than {MAX_DEPTH} levels")
            return None
        if not isinstance(node, ScalarNode) and node.tag not in (_MAP, _SEQ):
            self._foreign_tag(node, loc)
        if isinstance(node, ScalarNode):
            return self._scalar(node, loc)
        if id(node) in self._open:
            self._problem(node, loc, "an alias may not contain itself")
            return None
        self._open.add(id(node))
        value = self._mapping(node, loc) if isinstance(node, MappingNode) else self._sequence(node, loc)
        self._open.remove(id(node))
        return value

    def _sequence(self, node: Node, loc: Loc) -> list[Any]:
        return [self._placed(item, item, (*loc, index)) for index, item in enumerate(node.value)]

    def _placed(self, where: Node, node: Node, loc: Loc) -> Any:
        self.lines[loc] = where.start_mark.line + 1
        return self.value(node, loc)

    def _mapping(self, node: MappingNode, loc: Loc) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged = self._merge(value_node, loc) | merged
                continue
            if key_node.tag != _STR:
                shown = visible(key_node.value) if isinstance(key_node, ScalarNode) else "a list or mapping"
                self._problem(key_node, loc, f"expected text as a key, found {shown}", "put it in quotes")
                continue
            key = self._text(key_node, loc)
            if key in first:
                self._problem(
                    key_node, (*loc, key), f"duplicate key, first on line {first[key]}", "keep one of the two"
                )
                continue
            first[key] = key_node.start_mark.line + 1
            own[key] = self._placed(key_node, value_node, (*loc, key))
        return merged | own

    def _merge(self, node: Node, loc: Loc) -> dict[str, Any]:
        """`<<: *defaults` and `<<: [*a, *b]`; the earlier of a list wins, as YAML 1.1 says."""
        sources = node.value if isinstance(node, SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            value = self.value(source, loc)
            if not isinstance(value, dict):
                self._problem(source, loc, f"expected a mapping after <<, found {kind(value)}")
                continue
            merged = value | merged
        return merged

    def _scalar(self, node: Node, loc: Loc) -> Any:
        text, tag = str(node.value), str(node.tag)
        if tag in (_STR, _TIMESTAMP):  # a date stays text; fields for dates parse it
            return self._text(node, loc)
        if tag == _NULL:
            return None
        if tag == _BOOL and text.lower() in ("true", "false"):
            return text.lower() == "true"
        try:
            if tag == _INT:
                return _integer(text)
            if tag == _FLOAT:
                return _finite(text)
        except ValueError:
            self._problem(node, loc, "not a number in the allowed range")
            return None
        self._foreign_tag(node, loc)
        return None

    def _text(self, node: Node, loc: Loc) -> str:
        """`check_text` checked the file. This finds an escape in a quoted text ("\\u202e")."""
        text = str(node.value)
        if self._escapes and (name := hidden_character(text)):
            self._problem(node, loc, f"hidden or control character {name}", "remove the escape")
        return text

    def _foreign_tag(self, node: Node, loc: Loc) -> None:
        tag = visible(str(node.tag).removeprefix(TAG))
        self._problem(node, loc, f"unexpected tag {tag}", "write the value without !tags")

    def _problem(self, node: Node, loc: Loc, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self.file, node.start_mark.line + 1, dotted(loc), message, hint))


def _integer(text: str) -> int:
    digits = text.replace("_", "")
    number = int(digits, 0) if digits.lstrip("+-").lower()[:2] in ("0x", "0o", "0b") else int(digits)
    if abs(number) >= 2**63:  # the range of a database column and of other readers
        raise ValueError
    return number


def _finite(text: str) -> float:
    number = float(text.replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(number):
        raise ValueError
    return number
