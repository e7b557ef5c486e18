"""Lets only one operation at a time change the stack. The lock file says who holds it, since when and for what."""

from __future__ import annotations

import errno
import fcntl
import getpass
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from tollgate.disk import naming
from tollgate.errors import TollgateError
from tollgate.site import Site

# The path is a symbolic link, a directory, a socket, a missing device or a pipe (for this, Python's error has no
# number). Other errors come from the disk (disk.py).
_NO_FILE = (errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.ENODEV, None)


@contextmanager
def locked(site: Site, why: str) -> Iterator[None]:
    """Hold the deployment's lock during the block. Raises TollgateError with the holder if another process has it.

    The kernel releases the lock when the process ends, so a killed deploy leaves no stale lock.
    """
    path = site.lock_file
    with _opened(path) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(path, stream) from None
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = json.dumps({"why": why, "who": getpass.getuser(), "pid": os.getpid(), "since": since})
        with naming(path):
            stream.truncate(0)
            os.write(stream.fileno(), holder.encode())  # not buffered: closing a buffer would fail again
        yield


def _opened(path: Path) -> TextIO:
    """Open the lock file, 0600, because a user who can read it can lock it.

    Its inode stays the same, because the backup container mounts it.
    """
    try:
        with naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            stream = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "r+")
        status = os.fstat(stream.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_nlink == 1:
            if status.st_mode & 0o077:
                os.fchmod(stream.fileno(), 0o600)
            return stream
        stream.close()
    except PermissionError:
        raise TollgateError(
            f"{path} belongs to another user", "run this as the user who deployed, or with sudo"
        ) from None
    except OSError as error:
        if error.errno not in _NO_FILE:
            raise
    raise TollgateError(f"{path}: expected a plain file with one name, found something else", "remove it and try again")


def _taken(path: Path, stream: TextIO) -> TollgateError:
    """The error that names the holder: our own operation, or another user's process that opened a readable file."""
    stranger = _stranger(os.fstat(stream.fileno()))
    if stranger:
        return TollgateError(f"{stranger} holds the lock {path}", "this process does not belong to Tollgate: stop it")
    stream.seek(0)
    return TollgateError(
        f"another operation is running: {_holder(stream.read())}", "wait until it ends, then run the command again"
    )


def _stranger(lock: os.stat_result) -> str:
    """The process that locks this inode and belongs neither to root nor to the file's owner; empty if there is none."""
    inode = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" in fields or inode not in fields:
            continue
        process = fields[fields.index(inode) - 1]
        try:
            owner = Path("/proc", process).stat().st_uid
        except OSError:  # it has ended, or we cannot see it
            continue
        if owner not in (0, lock.st_uid):
            return f"process {process} of user {owner}"
    return ""


def _holder(text: str) -> str:
    """The holder, from the lock file. The file is empty for a moment before the holder writes it."""
    try:
        held = json.loads(text)
    except ValueError:
        return "it has just started"
    return f"{held['why']} by {held['who']} (process {held['pid']}) since {held['since']}"
