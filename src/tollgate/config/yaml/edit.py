"""Changes a YAML file as text. Every byte outside the change stays, also comments and order.

Works on the places that ruamel.yaml gives for each node. Each result is read again and compared with what it should
say; where the two differ (an anchor that others use, say) nothing is returned and the person is asked to edit by hand.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tollgate.config.yaml.document import Loc, dotted, parse
from tollgate.config.yaml.write import block, flow, list_item, scalar
from tollgate.errors import InputError, TollgateError

# The order of sections in a new tenant file.
SECTIONS = ("tenant", "keys", "allowed_models", "budget", "rate_limits", "metadata", "suspended")


def new(content: Mapping[str, Any], comment: str = "") -> str:
    """A new file: `content` in block style, a blank line between its sections, `comment` lines at the top."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    sections = [block({name: content[name]}, 0) for name in SECTIONS if name in content]
    return head + "\n".join(sections)


def put(text: str, file: Path, loc: Loc, value: Any) -> str:
    """`text` with `value` at `loc`. Missing parents are created.

    In a list, remaining items keep their place and their comment, and new items come last.
    """
    expected = _plain(text, file)
    before = _value_at(expected, loc)
    if isinstance(value, list) and isinstance(before, list):
        value = [item for item in before if item in value] + [item for item in value if item not in before]
    _put_plain(expected, loc, value)
    depth = next(depth for depth in range(len(loc), -1, -1) if _node(text, loc[:depth]) is not None)
    if depth == len(loc):
        result = _replaced(text, loc, value)
    else:
        for name in reversed(loc[depth + 1 :]):
            value = {name: value}
        result = _inserted(text, loc[:depth], str(loc[depth]), value)
    return _checked(result, file, loc, expected)


def append(text: str, file: Path, loc: Loc, item: Any) -> str:
    """`text` with `item` at the end of the list at `loc`. A missing list is created."""
    expected = _plain(text, file)
    items = _value_at(expected, loc)
    if not items:
        return put(text, file, loc, [item])
    items.append(item)
    node = _node(text, loc)
    assert isinstance(node, SequenceNode)  # noqa: S101  it has items
    if node.flow_style:
        end = node.end_mark.index - 1
        result = f"{text[:end].rstrip()}, {flow(item)}{text[end:]}"
    else:
        column = " " * node.start_mark.column
        result = _line_after(text, node, list_item(item, node.start_mark.column, f"{column}- "))
    return _checked(result, file, loc, expected)


def remove(text: str, file: Path, loc: Loc) -> str:
    """`text` without `loc`, and without a section that would be empty."""
    if _node(text, loc) is None:
        return text
    expected = _plain(text, file)
    while len(loc) > 1 and len(_value_at(expected, loc[:-1])) == 1:
        loc = loc[:-1]
    del _value_at(expected, loc[:-1])[loc[-1]]
    parent = _node(text, loc[:-1])
    assert parent is not None  # noqa: S101  it holds what is removed
    if _in_braces(parent):
        # It is easier to rewrite the whole list than to find the right comma.
        result = _spliced(text, parent, flow(_value_at(expected, loc[:-1])))
    else:
        result = _without_lines(text, parent, loc[-1])
    return _checked(result, file, loc, expected)


def _checked(result: str, file: Path, loc: Loc, expected: Any) -> str:
    """The result, if it has the intended values. The validation checks later whether a field may have its value."""
    try:
        if parse(result, file).data == expected:
            return result
    except InputError:  # reported below: the person's file was valid
        pass
    raise TollgateError(
        f"{file}: {dotted(loc)} cannot be changed without touching the rest of the file",
        "it uses anchors, aliases or a layout that this command does not know; edit the file, then run `make apply`",
    )


# ---- plain values


def _plain(text: str, file: Path) -> Any:
    return copy.deepcopy(parse(text, file).data)


def _value_at(data: Any, loc: Loc) -> Any:
    for part in loc:
        if isinstance(data, list) and isinstance(part, int):
            data = data[part]
        else:
            data = data.get(part) if isinstance(data, dict) else None
    return data


def _put_plain(data: Any, loc: Loc, value: Any) -> None:
    for part in loc[:-1]:
        if isinstance(data, dict) and data.get(str(part)) is None:
            data[part] = {}
        data = data[part]
    data[loc[-1]] = value


# ---- places


def _compose(text: str) -> Node | None:
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    return node


def _node(text: str, loc: Loc) -> Node | None:
    """The node at `loc`. None if it does not exist, or if it is a key without a value."""
    node = _compose(text)
    for part in loc:
        node = _child(node, part)
    empty = isinstance(node, ScalarNode) and node.start_mark.index == node.end_mark.index
    return None if empty and not loc else node


def _child(node: Node | None, part: str | int) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        item: Node = node.value[part]
        return item
    return None


def _in_braces(node: Node) -> bool:
    return isinstance(node, (MappingNode, SequenceNode)) and bool(node.flow_style)


def _last_leaf(node: Node) -> Node:
    """The real end of a block. Its own end mark is after the comments that follow it."""
    while isinstance(node, (MappingNode, SequenceNode)) and not _in_braces(node) and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return node


def _end_of_line(text: str, node: Node) -> int:
    """The start of the line after the end of `node`."""
    mark = _last_leaf(node).end_mark
    if mark.column == 0 and mark.index > 0:  # a block scalar ends after its last line break
        return int(mark.index)
    end = text.find("\n", mark.index)
    return len(text) if end < 0 else end + 1


# ---- edits


def _replaced(text: str, loc: Loc, value: Any) -> str:
    node = _node(text, loc)
    parent = _node(text, loc[:-1])
    assert node is not None and parent is not None  # noqa: S101  the caller found it
    if isinstance(node, ScalarNode) and not isinstance(value, (dict, list)):
        gap = " " if text[node.start_mark.index - 1] == ":" else ""
        line_break = "\n" if node.style in ("|", ">") else ""  # these blocks end after their line break
        return _spliced(text, node, gap + scalar(value) + line_break)
    if _in_braces(node) or _in_braces(parent):
        return _spliced(text, node, flow(value))
    if isinstance(node, SequenceNode) and isinstance(value, list):
        return _list_items(text, node, value)
    key = str(loc[-1])
    return _inserted(_without_lines(text, parent, key), loc[:-1], key, value)


def _list_items(text: str, node: SequenceNode, wanted: list[Any]) -> str:
    """Changes a block list of scalars: adds new items at the end, then removes the lines of unwanted items."""
    there = {item.value: item for item in node.value}
    column = " " * node.start_mark.column
    lines = "".join(f"{column}- {scalar(value)}\n" for value in wanted if str(value) not in there)
    text = _line_after(text, node, lines)
    for name, item in reversed(there.items()):
        if name not in map(str, wanted):
            text = text[: _line_start(text, item)] + text[_end_of_line(text, item) :]
    return text


def _inserted(text: str, loc: Loc, key: str, value: Any) -> str:
    node = _node(text, loc)
    if node is None or (isinstance(node, ScalarNode) and not node.value):  # `budget:` with nothing below it
        if not loc:
            return text + block({key: value}, 0)
        return _replaced_empty(text, loc, {key: value})
    if _in_braces(node):
        end = node.end_mark.index - 1
        comma = ", " if node.value else ""
        return f"{text[:end].rstrip()}{comma}{key}: {flow(value)}{text[end:]}"
    if not loc:
        return _new_section(text, node, key, value)
    return _line_after(text, node, block({key: value}, node.start_mark.column))


def _replaced_empty(text: str, loc: Loc, value: Any) -> str:
    parent = _node(text, loc[:-1])
    assert parent is not None  # noqa: S101  it has the empty key
    return _inserted(_without_lines(text, parent, loc[-1]), loc[:-1], str(loc[-1]), value)


def _new_section(text: str, root: Node, key: str, value: Any) -> str:
    """The position after the sections that come before it in a new file."""
    before = SECTIONS[: SECTIONS.index(key)] if key in SECTIONS else SECTIONS
    earlier = [node for name, node in root.value if name.value in before]
    after = max(earlier or [node for _, node in root.value], key=lambda node: node.start_mark.index)
    return _line_after(text, after, "\n" + block({key: value}, 0))


def _line_after(text: str, node: Node, lines: str) -> str:
    end = _end_of_line(text, node)
    gap = "" if text[:end].endswith("\n") else "\n"
    return text[:end] + gap + lines + text[end:]


def _without_lines(text: str, parent: Node, part: str | int) -> str:
    """The lines of a block: from the line of the key or `- ` to the end of its last value."""
    if isinstance(parent, MappingNode):
        key, value = next(pair for pair in parent.value if pair[0].value == part)
        start = _line_start(text, key)
        if not key.start_mark.column and text[:start].endswith("\n\n"):
            start -= 1  # the blank line before the section
    else:
        value = parent.value[part]
        start = _line_start(text, value)
    end = max(_end_of_line(text, value), text.find("\n", start) + 1)
    return text[:start] + text[end:]


def _line_start(text: str, node: Node) -> int:
    return text.rfind("\n", 0, node.start_mark.index) + 1


def _spliced(text: str, node: Node, new: str) -> str:
    return text[: node.start_mark.index] + new + text[node.end_mark.index :]
