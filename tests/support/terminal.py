"""Claude Code in a terminal: keys go in, and what stands on the screen is read back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pexpect
import pyte

from tests.support.claude_code import ClaudeCode, binary
from tests.support.eventually import eventually

ROWS, COLUMNS = 60, 140
PROMPT = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"


class Terminal:
    def __init__(self, process: Any) -> None:
        self._process = process
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.Stream(self._screen)

    @property
    def text(self) -> str:
        """The screen now, line ends and runs of spaces as one space, so that words can be looked for."""
        try:
            while True:
                self._stream.feed(self._process.read_nonblocking(65536, timeout=0.2))
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass
        return " ".join(" ".join(self._screen.display).split())

    def shows(self, *words: str, within: float = 60) -> str:
        def there() -> str | None:
            text = self.text
            missing = [word for word in words if word not in text]
            assert not missing, f"{missing} not on the screen: {text}"
            return text

        return eventually(there, within=within, every=0.1)

    def type(self, line: str) -> None:
        """A line and Enter, which has to come after the line has been drawn: else it is taken for pasted text.

        Where one types, and not elsewhere on the screen: an address in a warning can hold the same word.
        """
        self.shows(PROMPT)
        self._process.send(line)
        self.shows(f"{PROMPT} {line}")
        self._process.send("\r")

    def press(self, key: str) -> None:
        """A key for what is on the screen now, such as a question."""
        self._process.send(key)


@contextmanager
def open_terminal(claude: ClaudeCode, *arguments: str, **more: str | None) -> Iterator[Terminal]:
    """`claude ARGUMENTS`, past the first start's questions: a known theme, a trusted folder."""
    trusted = {str(claude.work): {"hasTrustDialogAccepted": True}}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "projects": trusted}
    (claude.home / ".claude.json").write_text(json.dumps(known))
    environment = claude.environment(TERM="xterm-256color", **more)
    process = pexpect.spawn(
        str(binary()), [*arguments], cwd=str(claude.work), env=environment, dimensions=(ROWS, COLUMNS), encoding="utf-8"
    )
    try:
        yield Terminal(process)
    finally:
        process.kill(9)
        process.wait()
        process.close(force=False)
