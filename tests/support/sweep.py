"""Removes what a killed test run left behind: `python -m tests.support.sweep`.

Only what this checkout's tests started, by exact label: the Testcontainers sessions they wrote down, and the Compose
projects of tests/support/stack.py. While one of them runs, nothing is removed. Says what it removed, if anything.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
from typing import IO

from tests.support.stack import ROOT, SUFFIXES, project_name

# Testcontainers gives each Python process an id, and labels with it everything that it starts. A process that runs
# tests holds the file's shared lock until it ends. So if no process holds the lock, only leftovers exist.
SESSIONS = ROOT / "var" / "test-sessions"
_held: list[IO[str]] = []


def remember(session: str = "") -> None:
    """Called when a test session starts, or anything else that starts test projects and has no session id."""
    SESSIONS.parent.mkdir(exist_ok=True)
    stream = SESSIONS.open("a")
    fcntl.flock(stream, fcntl.LOCK_SH)
    if session:
        stream.write(session + "\n")
        stream.flush()
    _held.append(stream)


def docker(*arguments: str) -> list[str]:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.split()


def labels(sessions: list[str]) -> list[str]:
    """The labels of things that this checkout's tests made. They match whole values: names can begin alike."""
    projects = [f"com.docker.compose.project={project_name(suffix)}" for suffix in SUFFIXES]
    return projects + [f"org.testcontainers.session-id={session}" for session in sessions]


def remove(marks: list[str]) -> str:
    """Containers, then networks and volumes, each by label, for a network or volume may be all that was left."""
    removed = []
    for kind, listing, removal in (
        ("containers", ("ps", "--all"), ("rm", "--force", "--volumes")),
        ("networks", ("network", "ls"), ("network", "rm")),
        ("volumes", ("volume", "ls"), ("volume", "rm")),
    ):
        found = {name for mark in marks for name in docker(*listing, "--quiet", "--filter", f"label={mark}")}
        if found:
            docker(*removal, *sorted(found))
            removed.append(f"{len(found)} {kind}")
    return ", ".join(removed)


def main() -> int:
    SESSIONS.parent.mkdir(exist_ok=True)
    with SESSIONS.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.stdout.write("other tests of this checkout are running: nothing is swept\n")
            return 0
        stream.seek(0)
        if removed := remove(labels(stream.read().split())):
            sys.stdout.write(f"removed what tests had left: {removed}\n")
        stream.truncate(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
