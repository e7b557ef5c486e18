"""What holds for every file a person writes: size, encoding, and no character that could hide another."""

from __future__ import annotations

import re
from pathlib import Path

from tollgate.errors import InputError, Problem

MAX_BYTES = 1024 * 1024

# Control characters, and those that reorder or hide text: a review would not see what the machine reads.
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]"
)


def read(file: Path) -> str:
    """The text of `file`; InputError where it is missing, unreadable, not UTF-8 or over 1 MiB."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError([Problem(file, 0, "", "no such file")]) from None
    except OSError as error:
        raise InputError([Problem(file, 0, "", f"cannot be read: {error.strerror}")]) from None
    if len(raw) > MAX_BYTES:
        raise InputError([Problem(file, 0, "", "expected at most 1 MiB, found more")])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        hint = "save the file as UTF-8"
        raise InputError([Problem(file, line, "", "expected UTF-8 text, found other bytes", hint)]) from None


def check_text(text: str, file: Path) -> None:
    """Refuse text that is too long or holds hidden characters; one problem a line."""
    if len(text) > MAX_BYTES:
        raise InputError([Problem(file, 0, "", "expected at most 1 MiB, found more")])
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        hidden = _HIDDEN.search(line)
        if hidden:
            name = f"U+{ord(hidden.group()):04X}"
            problems.append(Problem(file, number, "", f"hidden or control character {name}", "delete it or retype it"))
    if problems:
        raise InputError(problems)
