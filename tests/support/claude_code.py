"""The real Claude Code, run as a user runs it: an empty home, nothing inherited, nobody at the keyboard.

`python -m tests.support.claude_code` installs it, with the other clients.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.eventually import eventually
from tests.support.stack import ROOT, Stack

LOCK = ROOT / "tests" / "clients" / "requirements.lock"
KEPT = ROOT / "var" / "test-clients"
# Seconds; far above what any run takes, so that only a run that hangs meets it.
BOUND = 90
# More than the stack under test ever logs, so that lines can be counted.
ALL_LINES = 50_000


def packages() -> Path:
    """Where the clients of the lock are, for PYTHONPATH. Installed once, kept until the lock changes."""
    place = KEPT / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    if not place.is_dir():
        shutil.rmtree(KEPT, ignore_errors=True)
        KEPT.mkdir(parents=True)
        with tempfile.TemporaryDirectory(dir=KEPT) as partial:
            options = ["--no-deps", "--require-hashes", "--no-compile", "--target", partial, "--requirement", str(LOCK)]
            command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", *options]
            subprocess.run(command, check=True, timeout=600)
            Path(partial).rename(place)
            Path(partial).mkdir()  # for the context manager to remove
    return place


def binary() -> Path:
    """Claude Code itself, as the Agent SDK's package brings it."""
    return packages() / "claude_agent_sdk" / "_bundled" / "claude"


@dataclass(frozen=True)
class Finished:
    """One run: what its user reads, and what the gateway saw of it."""

    returncode: int
    out: str
    err: str
    session: str
    stack: Stack = field(repr=False)

    @property
    def result(self) -> dict[str, Any]:
        """With `--output-format json`."""
        answer: dict[str, Any] = json.loads(self.out)
        return answer

    def seen(self, path: str = "/v1/messages", number: int = 1) -> list[dict[str, Any]]:
        """nginx's lines for this session's requests to `path`, of which there are at least `number`."""

        def lines() -> list[dict[str, Any]] | None:
            rows = seen_by_nginx(self.stack, session=self.session, uri=path)
            return rows if len(rows) >= number else None

        return eventually(lines, within=20)


def seen_by_nginx(stack: Stack, **wanted: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in stack.compose.tail("nginx", ALL_LINES) if line.startswith("{")]
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


@dataclass(frozen=True)
class ClaudeCode:
    """`home` is empty at first; runs happen in `home`/work. `settings` are the variables a user would export; after
    `bound` seconds a run counts as hanging."""

    stack: Stack
    home: Path
    settings: Mapping[str, str]
    bound: float = BOUND

    @property
    def work(self) -> Path:
        (self.home / "work").mkdir(exist_ok=True)
        return self.home / "work"

    def environment(self, **more: str | None) -> dict[str, str]:
        """None takes a variable away."""
        base = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
        }
        return {name: value for name, value in {**base, **self.settings, **more}.items() if value is not None}

    def run(self, *arguments: str, before: tuple[str, ...] = (), **more: str | None) -> Finished:
        """`claude ARGUMENTS`; `before` are words in front of it, such as `unshare`."""
        session = str(uuid.uuid4())
        command = [*before, str(binary()), *arguments, "--session-id", session, "--no-session-persistence"]
        done = subprocess.run(
            command,
            cwd=self.work,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=self.bound,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr, session, self.stack)

    def ask(self, prompt: str, *arguments: str, **more: str | None) -> Finished:
        return self.run("-p", prompt, *arguments, **more)


if __name__ == "__main__":
    sys.stdout.write(f"{packages()}\n")
