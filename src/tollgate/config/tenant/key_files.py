"""Checks the files of tenants' `file:` keys: each must be a separate plain file, reached without a link.

Looked at when the files are read, so that the message has file and line; `stack/tenants/key_file.py` insists on the
same again when the key is read or written.
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
        found = (home / path).lstat()
    except OSError:
        return ""
    return fault_of_status(found)


def fault_of_status(found: os.stat_result) -> str:
    """The fault of the file alone, from the result of `lstat` or `fstat`."""
    if stat.S_ISLNK(found.st_mode):
        return "a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
    if found.st_nlink != 1:
        return f"a file with {found.st_nlink} names (hard links)"
    return f"{found.st_size:,} bytes, more than a key has" if found.st_size > MOST_BYTES else ""


def _mode(place: Path) -> int:
    try:
        return place.lstat().st_mode
    except OSError:
        return 0


def _inode(file: Path) -> tuple[int, int] | None:
    try:
        found = file.lstat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
