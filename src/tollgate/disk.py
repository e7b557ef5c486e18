"""Writes a file completely or not at all, and explains why the disk or the system refused.

Every OSError from here names the file. The system does not always name it: a write to a full disk fails with only a
number.
"""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tollgate.errors import TollgateError

_AGAIN = "then run the command again"
# Each error number with its message and hint. {path} is the file, {shown} is the file quoted for a shell.
_REFUSALS = {
    errno.ENOSPC: (
        "no space is left on the disk of {path}",
        "`df -h {shown}` and `df -i {shown}` show what is full; make room, " + _AGAIN,
    ),
    errno.EDQUOT: (
        "the disk quota for {path} is used up",
        "`quota -s` shows the quota; delete files or ask for more, " + _AGAIN,
    ),
    errno.EROFS: (
        "{path} is on a read-only file system",
        "`findmnt -T {shown}` shows the mount; after a disk error `dmesg` says why. Make it writable, " + _AGAIN,
    ),
    errno.EFBIG: (
        "{path} would be larger than this user or file system allows",
        "`ulimit -f` shows the limit; raise it, " + _AGAIN,
    ),
    errno.EIO: (
        "the disk of {path} reports an input/output error",
        "`dmesg` says which disk; replace it or move the deployment, " + _AGAIN,
    ),
    errno.EACCES: ("{path}: permission denied", "run the command as the user who deployed, or with sudo"),
    errno.EPERM: ("{path}: operation not permitted", "run the command as the user who deployed, or with sudo"),
}
# These two are the host's fault only if the system itself named a file.
_OF_A_FILE = (errno.EACCES, errno.EPERM)
_UNKNOWN = "a file that this command writes"


def replace(file: Path, content: str | bytes, mode: int | None = 0o644, *, durable: bool = False) -> None:
    """Replace content and mode of `file` atomically (temporary name, then rename). A failure leaves `file` unchanged.

    The parent directory must exist. Without a `mode` the umask decides. `durable`: the content is on the disk before
    this returns. A device or a pipe is not replaced: the content is written to it. Raises OSError.
    """
    temporary = file.with_name(f".{file.name}.new")
    with naming(file):
        if file.exists() and not file.is_file():
            fill(os.open(file, os.O_WRONLY), content, durable=False)
            return
        temporary.unlink(missing_ok=True)  # a killed run left it; its mode may keep us from opening it
        try:
            fill(_open_new(temporary, mode), content, mode, durable=durable)
            temporary.replace(file)
        except BaseException:
            _discard(temporary)
            raise


def create(file: Path, content: str | bytes, mode: int = 0o600) -> None:
    """Write a new file, durably. A failure leaves no file. Raises OSError; FileExistsError if the file exists."""
    with creating(file, mode) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def creating(file: Path, mode: int = 0o600, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """The same for content that does not fit in memory: the block writes it."""
    with naming(file):
        descriptor = _open_new(file, mode)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                os.fchmod(descriptor, mode)  # the umask may have removed permissions
                yield stream
                _finish(stream, durable=durable)
        except BaseException:
            _discard(file)
            raise


def overwrite(file: Path, content: bytes) -> None:
    """Write over a file that a container has mounted: its inode, owner and mode stay. Raises OSError.

    The file is truncated after the write. So, as a rule, a full disk fails before the old content is gone.
    """
    with naming(file), file.open("r+b") as stream:
        stream.write(content)
        stream.flush()
        stream.truncate()


def fill(descriptor: int, content: str | bytes, mode: int | None = None, *, durable: bool = True) -> None:
    """Write `content` to an open file and close it; for a file that its caller opened in a way of its own."""
    with os.fdopen(descriptor, "wb") as stream:
        if mode is not None:
            os.fchmod(descriptor, mode)  # the umask may have removed permissions
        stream.write(content.encode() if isinstance(content, str) else content)
        _finish(stream, durable=durable)


@contextmanager
def naming(file: Path) -> Iterator[None]:
    """Every OSError of the block names `file`."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(file), None
        raise


@contextmanager
def in_words() -> Iterator[None]:
    """Turn an OSError of the block into a TollgateError if the disk or a permission caused it."""
    try:
        yield
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise refused from None


def refusal(error: OSError, *, path: str = "") -> TollgateError | None:
    """The error as a message and a hint; None for other kinds of errors. `path` is used if the error names no file."""
    if error.errno not in _REFUSALS or (error.errno in _OF_A_FILE and not error.filename):
        return None
    message, hint = _REFUSALS[error.errno]
    named = str(error.filename or path)
    return TollgateError(
        message.format(path=named or _UNKNOWN),
        hint.format(shown=shlex.quote(_nearest_existing(named))) if named else hint.replace(" {shown}", ""),
    )


def _nearest_existing(path: str) -> str:
    """`path`, or its nearest parent that exists: `df` refuses a path that does not exist."""
    place = Path(path)
    while not place.exists() and place != place.parent:
        place = place.parent
    return str(place)


def _open_new(file: Path, mode: int | None) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)


def _finish(stream: IO[bytes], *, durable: bool) -> None:
    stream.flush()
    if durable:
        os.fsync(stream.fileno())


def _discard(file: Path) -> None:
    with suppress(OSError):  # the caller reports the first failure
        file.unlink()
