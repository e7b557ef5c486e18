"""Reads the files of an archive into memory. An attacker may have made the archive, so sizes and names are checked.

This module writes nothing. One bad file refuses the whole archive, so a restore never writes half of an archive.
"""

from __future__ import annotations

import io
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from tollgate.config.tenant.key_source import file_path
from tollgate.errors import TollgateError

# Ten thousand tenants with one key each take 30 MB. Files of tenants, settings and secrets are far below 16 MiB.
MOST_EXPANDED = 128 << 20
MOST_FILES = 50_000
MOST_BYTES = 16 << 20
_MOST_LETTERS, _MOST_PARTS = 200, 6
_FOLDERS = ("config", "secrets", "tenants")
_ENV = ".env"
_KEY_FILE = re.compile(r"\bfile:([^\s\"'#,\]}]+)")
_HINT = "restore only archives that `make backup` wrote and that you trust"


def unpack(packed: bytes) -> dict[str, bytes]:
    """The files of a gzipped tar, name to content. TollgateError for anything that our backups never contain."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_expanded(packed)), mode="r:") as tar:
            for member in tar:
                _check(member, contents)
                stream = tar.extractfile(member)
                contents[member.name] = stream.read(MOST_BYTES) if stream is not None else b""
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        raise TollgateError(f"the archive's files cannot be read: {str(error)[:200]!a}", _HINT) from None
    return contents


def raise_if_elsewhere(contents: Mapping[str, bytes]) -> None:
    """TollgateError if a file is not in one of our folders and no tenant's `file:` names it."""
    named = key_files(contents)
    for path in contents:
        if not in_a_folder(path) and path not in named:
            raise _refused(path, "a restore does not write to this path")


def key_files(contents: Mapping[str, bytes]) -> set[str]:
    """The paths that the tenant files in `contents` name with `file:`."""
    texts = (content.decode(errors="replace") for path, content in contents.items() if path.startswith("tenants/"))
    matches = {match for text in texts for match in _KEY_FILE.findall(text)}
    return {path for match in matches if (path := _path(match))}


def in_a_folder(path: str) -> bool:
    """True for .env and for paths in config/, secrets/ and tenants/. A restore may always write these."""
    return path == _ENV or path.partition("/")[0] in _FOLDERS


def shown(name: str) -> str:
    """A name from an archive, safe to print: short, ASCII, without terminal control characters."""
    if re.fullmatch(r"[A-Za-z0-9._/-]{1,80}", name):
        return name
    return ascii(name if len(name) <= 80 else f"{name[:80]}...")


def _expanded(packed: bytes) -> bytes:
    """The uncompressed tar. A few kilobytes can expand to any size, so this stops at MOST_EXPANDED."""
    if len(packed) > MOST_EXPANDED:
        raise TollgateError(f"the archive's files have more than {MOST_EXPANDED >> 20} MiB", _HINT)
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        expanded = unzip.decompress(packed, MOST_EXPANDED)
    except zlib.error as error:
        raise TollgateError(f"the archive's files cannot be read: {error}", _HINT) from None
    if unzip.unconsumed_tail:
        raise TollgateError(f"the archive's files expand to more than {MOST_EXPANDED >> 20} MiB", _HINT)
    if not unzip.eof or unzip.unused_data:
        raise TollgateError("the archive's files cannot be read: expected one whole gzip stream", _HINT)
    return expanded


def _check(member: tarfile.TarInfo, seen: Mapping[str, bytes]) -> None:
    """Check one member before it is read."""
    name, path = member.name, PurePosixPath(member.name)
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        raise _refused(name, "it is not a plain file")
    if member.mode & ~0o777:
        raise _refused(name, "its mode is not the mode of a plain file")
    if str(path) != name or path.is_absolute() or ".." in path.parts or not path.parts:
        raise _refused(name, "its name is not a plain path")
    if not name.isprintable() or len(name) > _MOST_LETTERS or len(path.parts) > _MOST_PARTS:
        raise _refused(name, "its name is too long, has too many folders or has hidden characters")
    if len(path.parts) == 1 and name in _FOLDERS:
        raise _refused(name, "one of our directories has this name")
    if name in seen:
        raise _refused(name, "it is there twice")
    if member.size > MOST_BYTES:
        raise _refused(name, f"it has more than {MOST_BYTES >> 20} MiB")
    if len(seen) >= MOST_FILES:
        raise TollgateError(f"expected at most {MOST_FILES:,} files in the archive, found more", _HINT)


def _refused(name: str, why: str) -> TollgateError:
    return TollgateError(f"the archive contains {shown(name)}, which is not from a Tollgate backup: {why}", _HINT)


def _path(text: str) -> str:
    try:
        return file_path(text)
    except ValueError:
        return ""
