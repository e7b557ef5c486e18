"""The commands of README and docs, found so that tests can run them.

A line in front of a fenced block says what becomes of it: `<!-- run -->`, `<!-- run: WORDS -->` where its output must
hold WORDS, or `<!-- not run: WHY -->`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.stack import ROOT

LANGUAGES = ("bash", "python")
_MARK = re.compile(r"<!-- (?P<verb>run|not run)(?:: (?P<words>.+?))? -->")


@dataclass(frozen=True)
class Block:
    """`runs` is None where nothing says what becomes of it."""

    file: Path
    line: int
    language: str
    text: str
    runs: bool | None
    words: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(file: Path, text: str | None = None) -> Iterator[Block]:
    lines = (file.read_text() if text is None else text).splitlines()
    begun: int | None = None
    for number, line in enumerate(lines):
        if begun is None and line.startswith("```"):
            begun = number
        elif begun is not None and line == "```":
            language = lines[begun].removeprefix("```").strip()
            if language in LANGUAGES:
                mark = _MARK.fullmatch(lines[begun - 1]) if begun else None
                runs = None if mark is None else mark["verb"] == "run"
                content = "\n".join(lines[begun + 1 : number]) + "\n"
                yield Block(file, begun + 1, language, content, runs, (mark and mark["words"]) or "")
            begun = None
