"""Checks the files of tenants' `file:` keys: each must be a separate plain file, reached without a link.

The check runs when the tenant files are read, so that the message has file and line. `stack/tenants/key_file.py`
checks again when it reads or writes the key.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from tollgate.config.tenant import checks
from tollgate.config.tenant.model import Tenant
from tollgate.config.yaml.document import dotted
from tollgate.errors import Problem

MOST_BYTES = 4096
_HINT = "put the key into a separate file, as in file:secrets/engineering.key"


def problems(home: Path, tenants: Collection[Tenant]) -> Iterator[Problem]:
    """A problem for each `file:` key that is not such a file. A missing file is not a problem here."""
    owners: dict[tuple[int, int], tuple[Path, str]] = {}
    for tenant in tenants:
        for loc, origin in checks.origins(tenant):
            if origin.kind != "file":
                continue
            path = origin.value.reveal()
            fault = fault_of(home, path)
            if fault:
                yield tenant.document.problem(loc, f"expected a plain file, found {fault}", _HINT)
            elif inode := _inode(home / path):
                file, place = owners.setdefault(inode, (tenant.file, dotted(loc)))
                if (file, place) != (tenant.file, dotted(loc)):
                    message = f"the same file as {place} of {file.name}"
                    yield tenant.document.problem(loc, message, "a key belongs to one tenant and has one name")


def fault_of(home: Path, path: str) -> str:
    """Say what is wrong with the path from `home` to the file. Empty if nothing is, or if the file is missing."""
    place = home
    parts = PurePosixPath(path).parts
    for part in parts[:-1]:
        place /= part
        mode = _mode(place)
        if stat.S_ISLNK(mode):
            return f"the symbolic link {part} in its path"
        if mode and not stat.S_ISDIR(mode):
            return f"{part} in its path, which is not a directory"
    try:
        status = (home / path).lstat()
    except OSError:
        return ""
    return fault_of_status(status)


def fault_of_status(status: os.stat_result) -> str:
    """The fault of the file alone, from the result of `lstat` or `fstat`."""
    if stat.S_ISLNK(status.st_mode):
        return "a symbolic link"
    if not stat.S_ISREG(status.st_mode):
        return "a directory" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
    if status.st_nlink != 1:
        return f"a file with {status.st_nlink} names (hard links)"
    return f"{status.st_size:,} bytes, more than a key has" if status.st_size > MOST_BYTES else ""


def _mode(place: Path) -> int:
    try:
        return place.lstat().st_mode
    except OSError:
        return 0


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        status = file.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
