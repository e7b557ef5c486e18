"""One operation that changes the stack at a time. The lock file says who holds it, since when and for what."""

from __future__ import annotations

import fcntl
import getpass
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from tollgate.errors import TollgateError
from tollgate.site import Site


@contextmanager
def locked(site: Site, why: str) -> Iterator[None]:
    """Hold the deployment's lock; TollgateError naming the holder when another process has it.

    The kernel drops it when the process ends however it ends, so a killed deploy leaves no stale lock.
    """
    path = site.home / "var" / "lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+")
    except PermissionError:
        raise TollgateError(
            f"{path} belongs to another user", "run this as the user who deployed, or with sudo"
        ) from None
    with opened as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise TollgateError(
                f"another operation is running: {_holder(stream.read())}",
                "wait until it ends, then run the command again",
            ) from None
        stream.truncate(0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        stream.write(json.dumps({"why": why, "who": getpass.getuser(), "pid": os.getpid(), "since": since}))
        stream.flush()
        yield


def _holder(text: str) -> str:
    """What the lock file says of its holder; it is empty for the moment in which the holder writes it."""
    try:
        held = json.loads(text)
    except ValueError:
        return "it has just begun"
    return f"{held['why']} by {held['who']} (process {held['pid']}) since {held['since']}"
