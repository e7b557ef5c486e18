"""YAML text to a tree of nodes, each with its line, by libyaml: thirty times as fast as a parser written in Python.

YAML 1.2's core schema decides what a plain word is (`yes` and `2027-01-31` are text). libyaml recurses and would
crash the process on deep nesting, so the depth is counted while it does.
"""

from __future__ import annotations

import re
from typing import Any

from yaml.cyaml import CParser
from yaml.error import MarkedYAMLError, YAMLError
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from yaml.resolver import BaseResolver

__all__ = [
    "TAG",
    "MappingNode",
    "MarkedYAMLError",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "TooDeepError",
    "YAMLError",
    "compose",
]

TAG = "tag:yaml.org,2002:"
_INT = r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)"
_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
# What a plain word is taken for, and the characters such a word can begin with.
_WORDS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (_INT, "-+0123456789"),
    "float": (_FLOAT, "-+.0123456789"),
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": ("<<", "<"),
}


class TooDeepError(Exception):
    """Nested deeper than the caller allows; `line` is where, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Composer(CParser, BaseResolver):  # type: ignore[misc]  # PyYAML has no types
    def __init__(self, text: str, max_depth: int) -> None:
        CParser.__init__(self, text)
        BaseResolver.__init__(self)
        self._left = max_depth

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """Called before each node is read."""
        self._left -= 1
        if self._left < 0:
            raise TooDeepError(current_node.start_mark.line + 1)

    def ascend_resolver(self) -> None:
        self._left += 1


for _name, (_words, _first) in _WORDS.items():
    _Composer.add_implicit_resolver(f"{TAG}{_name}", re.compile(f"(?:{_words})\\Z"), list(_first))


def compose(text: str, max_depth: int) -> Node | None:
    """The one document of `text`; None for an empty one. Raises YAMLError, ValueError, TooDeepError."""
    return _Composer(text, max_depth).get_single_node()
