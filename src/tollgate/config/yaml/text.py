"""Rules for every file that a person writes: size, encoding, no characters that hide others."""

from __future__ import annotations

import re
from pathlib import Path

from tollgate.errors import InputError, Problem

MAX_BYTES = 1024 * 1024
_USUAL = 16 * 1024  # the first read: reading the maximum would reserve a MiB for each small file

# Control characters, and characters that reorder or hide text, so that a review sees the same text as the machine.
_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f"
    "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff\ud800-\udfff]"
)


def read(file: Path) -> str:
    """The text of `file`. InputError if it is missing, unreadable, not UTF-8 or over 1 MiB."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(_USUAL)
            if len(raw) == _USUAL:
                raw += stream.read(MAX_BYTES + 1 - _USUAL)
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
    """Refuse text that is too long or has hidden characters, with one problem for each line."""
    if len(text) > MAX_BYTES:
        raise InputError([Problem(file, 0, "", "expected at most 1 MiB, found more")])
    if not _HIDDEN.search(text):
        return
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        if name := hidden_character(line):
            problems.append(Problem(file, number, "", f"hidden or control character {name}", "delete it or retype it"))
    raise InputError(problems)


def hidden_character(text: str) -> str:
    """The first hidden character as U+202E, or ""."""
    match = _HIDDEN.search(text)
    return f"U+{ord(match.group()):04X}" if match else ""
