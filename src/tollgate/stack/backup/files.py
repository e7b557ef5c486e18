"""The files of a site that a backup contains, which of them are secret, and how a restore writes them.

A backup contains all of `config/`. A restore writes only config/gateway.yaml, because the rest belongs to the kit.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tollgate import disk
from tollgate.config.tenant import key_files as key_faults
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.backup import unpack
from tollgate.stack.secrets.changing import NEXT, OLD, ROTATION
from tollgate.stack.secrets.store import GENERATED

# A key written in a file. A tenant file or a configuration file with a key in it counts as secret.
_WRITTEN_OUT = re.compile(rb"\bsk-[A-Za-z0-9_-]{13,}")
# Passwords that this machine's volumes and operators use. A restore writes only the missing ones: a password that was
# rotated since the backup must not come back.
MACHINE = tuple(f"secrets/{spec.name}" for spec in GENERATED if spec.name != "litellm_salt_key")
ENV, GATEWAY, SALT = ".env", "config/gateway.yaml", "secrets/litellm_salt_key"

Contents = Mapping[str, bytes]


def collect(site: Site) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files to back up, path to content: first those that everybody may read, then the secret ones."""
    public: dict[str, bytes] = {}
    secret: dict[str, bytes] = {}
    for folder in ("config", "tenants"):
        for path, content in _below(site.home, folder):
            (secret if _WRITTEN_OUT.search(content) else public)[path] = content
    secret.update((path, content) for path, content in _below(site.home, "secrets") if not _only_for_rotation(path))
    for path in (ENV, *_key_files(site.home, public), *_key_files(site.home, secret)):
        file = site.home / path
        if file.is_file() and path not in public:
            secret[path] = file.read_bytes()
    return public, secret


def pack(contents: Contents) -> bytes:
    """A gzipped tar of the files. TollgateError if a restore would refuse it, so that the backup fails today."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in sorted(contents.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    try:
        unpack.unpack(packed.getvalue())
    except TollgateError as error:
        hint = "move the file out of config/, tenants/ and secrets/: a restore would refuse the backup"
        raise TollgateError(error.message, hint) from None
    return packed.getvalue()


def salt_of(site: Site) -> str:
    """The fingerprint of the site's litellm_salt_key. Empty if it has no salt key."""
    file = site.home / SALT
    return fingerprint(file.read_bytes()) if file.is_file() else ""


def fingerprint(salt: bytes) -> str:
    return hashlib.sha256(salt.strip()).hexdigest()[:16]


@dataclass
class PutBack:
    """Writes an archive's files to a site. `undo` restores the old files; `kept` is a folder with their copies."""

    site: Site
    kept: Path
    changed: list[str] = field(default_factory=list)
    _before: dict[str, bytes | None] = field(default_factory=dict, repr=False)

    def run(self, contents: Contents) -> None:
        for path, content in differences(self.site, contents).items():
            before = self._read(path)
            if before is not None:
                write(self.kept / path, before)
            self._before[path] = before
            self._set(path, content)
            self.changed.append(path)

    def undo(self) -> None:
        for path, content in self._before.items():
            # Do not remove a secret that was missing before: a volume may use it by now.
            if content is not None or path.startswith("tenants/"):
                self._set(path, content)

    def _read(self, path: str) -> bytes | None:
        file = self.site.home / path
        return file.read_bytes() if file.is_file() else None

    def _set(self, path: str, content: bytes | None) -> None:
        file = self.site.home / path
        if content is None:
            file.unlink(missing_ok=True)
        else:
            write(file, content, private=not path.startswith(("tenants/", "config/")))


def differences(site: Site, contents: Contents) -> dict[str, bytes | None]:
    """The files that a restore would write (path to content) or remove (path to None)."""
    wanted: dict[str, bytes | None] = {}
    for path, content in contents.items():
        file = site.home / path
        if path.startswith("config/") and path != GATEWAY:
            continue
        if (path in MACHINE or path == ENV) and file.exists():
            continue
        if not unpack.in_a_folder(path):
            _raise_if_link(site, path)
        if not file.is_file() or file.read_bytes() != content:
            wanted[path] = content
    if any(path.startswith("tenants/") for path in contents):
        for path, _ in _below(site.home, "tenants"):
            if path.endswith((".yaml", ".yml")) and path not in contents:
                wanted[path] = None
    return wanted


def _raise_if_link(site: Site, path: str) -> None:
    """TollgateError if a tenant's key file is not a plain file, or if its path contains a link."""
    fault = key_faults.fault_of(site.home, path)
    if fault:
        raise TollgateError(f"{site.home / path}: expected a plain file, found {fault}", "move it away and retry")


def write(file: Path, content: bytes, *, private: bool = True) -> None:
    """Write the file atomically. Private: 0600, and new directories 0700. Otherwise 0644 and 0755."""
    missing = [parent for parent in (file.parent, *file.parent.parents) if not parent.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700 if private else 0o755)
    disk.replace(file, content, 0o600 if private else 0o644)


def _below(home: Path, folder: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted((home / folder).rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(home).as_posix(), file.read_bytes()


def _only_for_rotation(path: str) -> bool:
    """True for a secret that exists only during a rotation."""
    return path.endswith((NEXT, OLD)) or path == f"secrets/{ROTATION}"


def _key_files(home: Path, contents: Contents) -> list[str]:
    """The `file:` key files of tenants, except those that the kit would refuse to read."""
    return sorted(path for path in unpack.key_files(contents) if not key_faults.fault_of(home, path))
