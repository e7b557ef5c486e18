"""One YAML file as plain values, with the line of each value. All problems of the file are reported at once.

Raises InputError, never a YAML exception.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tollgate.config.yaml.nodes import MarkedYAMLError, TooMuchError, YAMLError, compose
from tollgate.config.yaml.text import check_text
from tollgate.config.yaml.values import MAX_DEPTH, MAX_NODES, Loc, Reader, dotted, kind, visible
from tollgate.errors import InputError, Problem

__all__ = ["Document", "Loc", "dotted", "kind", "parse", "visible"]


@dataclass(frozen=True)
class Document:
    """`data` is a mapping of plain values; `lines` gives the 1-based line of each key and list item by its place."""

    file: Path
    data: dict[str, Any]
    lines: Mapping[Loc, int] = field(repr=False)

    def line(self, loc: Loc) -> int:
        """The line of `loc`, or of the nearest parent (a missing key has no line)."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def problem(self, loc: Loc, message: str, hint: str = "") -> Problem:
        return Problem(self.file, self.line(loc), dotted(loc), message, hint)

    def warning(self, loc: Loc, message: str, hint: str = "") -> Problem:
        return Problem(self.file, self.line(loc), dotted(loc), message, hint, level="warning")

    def strings(self) -> Iterator[tuple[Loc, str]]:
        """Every text in the document, keys included, with its place."""
        yield from _strings(self.data, ())


def parse(text: str, file: Path) -> Document:
    """Raises InputError with every problem: bad encoding, bad YAML, duplicate keys, unknown tags."""
    check_text(text, file)
    try:
        root = compose(text, MAX_DEPTH, 2 * MAX_NODES)
    except MarkedYAMLError as error:
        raise InputError([_syntax_problem(error, text, file)]) from None
    except (YAMLError, ValueError, AssertionError, IndexError) as error:  # the scanner raises these on broken input
        raise InputError([Problem(file, 0, "", f"not YAML: {type(error).__name__}")]) from None
    except TooMuchError as error:
        raise InputError([Problem(file, error.line, "", error.what)]) from None
    reader = Reader(file, escapes="\\" in text)
    data = {} if root is None else reader.value(root, ())
    if not reader.problems and not isinstance(data, dict):
        reader.problems.append(Problem(file, 1, "", f"expected keys and values (key: value), found {kind(data)}"))
    if reader.problems:
        raise InputError(reader.problems)
    return Document(file, data, _Lines(text))


class _Lines(Mapping[Loc, int]):
    """The lines of a text that `parse` accepted, found when one is first asked for: most files have no problem, and
    ten thousand of them are held at once.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _found(self) -> dict[Loc, int]:
        reader = Reader(Path(), escapes=False)
        root = compose(self._text, MAX_DEPTH, 2 * MAX_NODES)
        if root is not None:
            reader.value(root, ())
        return reader.lines

    def __getitem__(self, loc: Loc) -> int:
        return self._found[loc]

    def __iter__(self) -> Iterator[Loc]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _syntax_problem(error: MarkedYAMLError, text: str, file: Path) -> Problem:
    # For a quote that never ends, report the line where it began, not the end of the file.
    ended = "end of stream" in str(error.problem)
    mark = (error.context_mark if ended else error.problem_mark) or error.problem_mark or error.context_mark
    line = mark.line + 1 if mark is not None else 0
    lines = text.splitlines()
    content = lines[line - 1] if 0 < line <= len(lines) else ""
    if "\t" in content[: len(content) - len(content.lstrip())]:
        return Problem(file, line, "", "expected spaces for indentation, found a tab", "replace each tab by two spaces")
    return Problem(file, line, "", f"not YAML: {error.problem or error.context or 'unreadable'}", _syntax_hint(content))


def _syntax_hint(content: str) -> str:
    if content.count(": ") > 1 and "{" not in content:
        return "put a value that contains ': ' in quotes"
    return "check the indentation, quotes and colons on this line and the one before"


def _strings(value: object, loc: Loc) -> Iterator[tuple[Loc, str]]:
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _strings(item, (*loc, index))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield (*loc, key), key
            yield from _strings(item, (*loc, key))


def literal_variables(document: Document, hint: str) -> Iterator[Problem]:
    """Refuse variables: LiteLLM takes `${VAR}` literally, and "${LITELLM_MASTER_KEY}" once was the admin password."""
    for loc, text in document.strings():
        if "${" in text or "os.environ/" in text:
            yield document.problem(loc, "variables are not expanded: LiteLLM would receive this text", hint)
