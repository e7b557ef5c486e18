"""Writes the synchronous half of tollgate-client from the asynchronous one: `python client/tools/twin.py`.

It changes names only, token by token, so both halves are the same code. tests/client_package/test_twin.py holds that
the committed files are what this writes.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tokenize
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "src" / "tollgate_client"
DROPPED = {"async", "await"}
NAMES = {
    "_async": "_sync",
    "asyncio": "time",
    "AsyncClient": "Client",
    "AsyncGenerator": "Generator",
    "StopAsyncIteration": "StopIteration",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "aclose": "close",
    "aiter_bytes": "iter_bytes",
    "aread": "read",
}
# Whole texts: what a name alone does not say.
TEXTS = {
    "Generator[P, None]": "Generator[P, None, None]",
    "Awaitable[R | TollgateError]": "R | TollgateError",
    "time.Lock": "threading.Lock",
    "the process and the event loop that opened it: its": "the process that opened it: its",
    "time.get_running_loop()": "None",
    " Use it in one event loop at a time, and close it.": " Threads may share it; close it.",
    "`async with`": "`with`",
    "`await refresh_models()`": "`refresh_models()`",
    "The asynchronous half. The synchronous half, _sync, is generated from these files by client/tools/twin.py.": (
        "The synchronous half, generated from _async by client/tools/twin.py. Do not edit it."
    ),
}
HEAD = "# Generated from {source} by client/tools/twin.py. Edit that file, and run it again.\n"


def synchronous(source: str) -> str:
    """The source of the twin, formatted as the repository is."""
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    lines = source.splitlines(keepends=True)
    row, column = 1, 0
    out: list[str] = []
    for token in tokens:
        (begin_row, begin), (end_row, end) = token.start, token.end
        out.append(_between(lines, row, column, begin_row, begin))
        row, column = end_row, end
        if token.type == tokenize.NAME and token.string in DROPPED:
            # The space after it goes too.
            column += 1
        elif token.type == tokenize.NAME:
            out.append(NAMES.get(token.string, token.string))
        else:
            out.append(token.string)
    text = "".join(out)
    for found, instead in TEXTS.items():
        text = text.replace(found, instead)
    return _formatted(text)


def _between(lines: list[str], row: int, column: int, end_row: int, end: int) -> str:
    if row == end_row:
        return lines[row - 1][column:end] if row <= len(lines) else ""
    middle = "".join(lines[row : end_row - 1])
    last = lines[end_row - 1][:end] if end_row <= len(lines) else ""
    return lines[row - 1][column:] + middle + last


def _formatted(text: str) -> str:
    for arguments in (["check", "--quiet", "--select", "I,F401,F811", "--fix"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", str(PACKAGE / "_sync" / "x.py"), "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout
    return text


def twins() -> dict[Path, str]:
    """Each file of the synchronous half, and its content."""
    files = sorted((PACKAGE / "_async").glob("*.py"))
    return {
        PACKAGE / "_sync" / file.name: HEAD.format(source=f"_async/{file.name}") + synchronous(file.read_text())
        for file in files
    }


if __name__ == "__main__":
    for place, content in twins().items():
        place.parent.mkdir(exist_ok=True)
        place.write_text(content)
