"""Which files of a site are backed up, which of them are secret, and how they are put back.

`config/` is kept whole, but only gateway.yaml of it is put back: the rest belongs to the kit's version.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack.live_secrets import NEXT, OLD, ROTATION
from tollgate.stack.secrets import GENERATED

# A key that stands in a file itself; with one, a tenant file or a configuration file is a secret as a whole.
_WRITTEN_OUT = re.compile(rb"\bsk-[A-Za-z0-9_-]{13,}")
_KEY_FILE = re.compile(r"\bfile:([^\s\"'#,\]}]+)")
# What this machine's volumes and operators know: an archive fills in what is missing only. A password that was rotated
# since the backup must not come back.
MACHINE = tuple(f"secrets/{spec.name}" for spec in GENERATED if spec.name != "litellm_salt_key")
ENV, GATEWAY, SALT = ".env", "config/gateway.yaml", "secrets/litellm_salt_key"

Contents = Mapping[str, bytes]


def collect(site: Site) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """What is backed up of a site by its path: what anybody may read, and what is secret."""
    public: dict[str, bytes] = {}
    secret: dict[str, bytes] = {}
    for folder in ("config", "tenants"):
        for path, content in _below(site.home, folder):
            (secret if _WRITTEN_OUT.search(content) else public)[path] = content
    secret.update((path, content) for path, content in _below(site.home, "secrets") if not _passing(path))
    for path in (ENV, *_key_files(public), *_key_files(secret)):
        file = site.home / path
        if file.is_file() and path not in public:
            secret[path] = file.read_bytes()
    return public, secret


def pack(contents: Contents) -> bytes:
    """A gzipped tar of it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path, content in sorted(contents.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def unpack(packed: bytes) -> dict[str, bytes]:
    """The files of such a tar. TollgateError for anything that is not a plain file below the site."""
    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                stream = tar.extractfile(member) if member.isreg() else None
                if stream is None or path.is_absolute() or ".." in path.parts or str(path) != member.name:
                    raise TollgateError(f"the archive holds {member.name[:80]!r}, which no backup of ours does")
                contents[member.name] = stream.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise TollgateError(f"the archive's files cannot be read: {error}") from None
    return contents


def salt_of(site: Site) -> str:
    """Which litellm_salt_key a site has, without saying it; empty where it has none."""
    file = site.home / SALT
    return fingerprint(file.read_bytes()) if file.is_file() else ""


def fingerprint(salt: bytes) -> str:
    return hashlib.sha256(salt.strip()).hexdigest()[:16]


@dataclass
class PutBack:
    """A site's files made those of an archive; `undo` gives it back what it had, of which `kept` has a copy."""

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
            # A secret that was missing stays: a volume may have been made with it by now.
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
    """What would have to be written, and (None) taken away, for the site to have the archive's files."""
    wanted: dict[str, bytes | None] = {}
    for path, content in contents.items():
        file = site.home / path
        if path.startswith("config/") and path != GATEWAY:
            continue
        if (path in MACHINE or path == ENV) and file.exists():
            continue
        if not file.is_file() or file.read_bytes() != content:
            wanted[path] = content
    if any(path.startswith("tenants/") for path in contents):
        for path, _ in _below(site.home, "tenants"):
            if path.endswith((".yaml", ".yml")) and path not in contents:
                wanted[path] = None
    return wanted


def write(file: Path, content: bytes, *, private: bool = True) -> None:
    """Whole or not at all; 0600 in a directory that is 0700 unless anybody may read it."""
    missing = [parent for parent in (file.parent, *file.parent.parents) if not parent.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o700 if private else 0o755)
    temporary = file.with_name(f".{file.name}.new")
    temporary.touch(mode=0o600 if private else 0o644)
    temporary.write_bytes(content)
    temporary.replace(file)


def _below(home: Path, folder: str) -> Iterator[tuple[str, bytes]]:
    for file in sorted((home / folder).rglob("*")):
        if file.is_file() and not file.is_symlink():
            yield file.relative_to(home).as_posix(), file.read_bytes()


def _passing(path: str) -> bool:
    """Whether a secret is only there while another one is rotated."""
    return path.endswith((NEXT, OLD)) or path == f"secrets/{ROTATION}"


def _key_files(contents: Contents) -> list[str]:
    """Files that tenants' keys are read from; below the site, as tenant files insist."""
    texts = (content.decode(errors="replace") for path, content in contents.items() if path.startswith("tenants/"))
    found = {match for text in texts for match in _KEY_FILE.findall(text)}
    return sorted(path for path in found if ".." not in PurePosixPath(path).parts and not path.startswith(("/", "~")))
