"""Turns YAML text into a tree of nodes with lines, by libyaml: thirty times as fast as a parser written in Python.

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
    "TooMuchError",
    "YAMLError",
    "compose",
]

TAG = "tag:yaml.org,2002:"
_INT = r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)"
_FLOAT = (
    r"[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
# The type of a plain word, and the characters that such a word can start with.
_WORDS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "int": (_INT, "-+0123456789"),
    "float": (_FLOAT, "-+.0123456789"),
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    "merge": ("<<", "<"),
}


class TooMuchError(Exception):
    """The text is deeper, or has more values, than the caller allows. `what` is a sentence, `line` counts from 1."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what, line)
        self.what, self.line = what, line


class _Composer(CParser, BaseResolver):  # type: ignore[misc]  # PyYAML has no types
    def __init__(self, text: str, max_depth: int, max_nodes: int) -> None:
        CParser.__init__(self, text)
        BaseResolver.__init__(self)
        self._max_depth, self._depth = max_depth, -1  # the document itself is not a level
        self._max_nodes, self._nodes = max_nodes, 0

    def descend_resolver(self, current_node: Any, current_index: Any) -> None:
        """PyYAML calls this before each node; `current_node` is the parent."""
        self._depth += 1
        self._nodes += 1
        if self._depth > self._max_depth:
            raise TooMuchError(f"nested deeper than {self._max_depth} levels", current_node.start_mark.line + 1)
        if self._nodes > self._max_nodes:
            raise TooMuchError(f"more than {self._max_nodes} keys and values", current_node.start_mark.line + 1)

    def ascend_resolver(self) -> None:
        self._depth -= 1


for _name, (_words, _first) in _WORDS.items():
    _Composer.add_implicit_resolver(f"{TAG}{_name}", re.compile(f"(?:{_words})\\Z"), list(_first))


def compose(text: str, max_depth: int, max_nodes: int) -> Node | None:
    """The one document of `text`; None for an empty one. Raises YAMLError, ValueError, TooMuchError.

    Keys count as nodes too.
    """
    return _Composer(text, max_depth, max_nodes).get_single_node()
