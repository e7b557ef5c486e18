"""The archive file: a tar with manifest.json first, then the parts that the manifest lists with their checksums.

The tar is not compressed, so a part can be read without unpacking the others.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tollgate import disk
from tollgate.errors import TollgateError
from tollgate.stack.backup.unpack import shown

MANIFEST = "manifest.json"
DATABASE, FILES, SECRETS, PLAIN_SECRETS = "database.dump", "files.tar.gz", "secrets.tar.gz.age", "secrets.tar.gz"
CHUNK = 1 << 20
_MANIFEST_MAY_HAVE = 4 << 20
_MOST_PARTS = 8
# Commands print these values and compare them, so each is at most 200 ASCII characters.
Word = Annotated[str, Field(pattern=r"^[ -~]{0,200}$")]


class Part(BaseModel):
    """One file of the archive. `sha256` is of the stored bytes, so encrypted parts are checked without decryption."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["database.dump", "files.tar.gz", "secrets.tar.gz.age", "secrets.tar.gz"]
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """The contents of an archive, and the versions of everything that made it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    created: datetime
    kit: Word
    litellm: Word
    postgres: Word
    # The names of LiteLLM's migrations that were applied to the schema.
    migrations: tuple[Word, ...]
    # Rows of each table, counted in the dump.
    rows: dict[Word, int]
    # Size of the database in bytes. A restore needs this space in addition to the live database.
    size: int
    # The fingerprint of the litellm_salt_key that encrypted the stored credentials: 64 bits of a hash of the key.
    salt: Word
    left_out: tuple[Word, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def secrets(self) -> str:
        """The name of the part with the secrets. Empty if they were left out."""
        return next((part.name for part in self.parts if part.name in (SECRETS, PLAIN_SECRETS)), "")


@dataclass(frozen=True)
class Archive:
    """An archive whose checksums are correct. `part` opens one of its parts."""

    file: Path
    manifest: Manifest

    @contextmanager
    def part(self, name: str) -> Iterator[IO[bytes]]:
        with tarfile.open(self.file, "r:") as tar:
            yield cast(IO[bytes], tar.extractfile(name))

    def content(self, name: str) -> bytes:
        with self.part(name) as stream:
            return stream.read()


def write(target: Path, manifest: Manifest, parts: Mapping[str, Path]) -> Archive:
    """Write the archive under a temporary name, read all of it back, then rename it."""
    described = tuple(
        Part(name=cast("Literal['database.dump']", name), bytes=file.stat().st_size, sha256=_sha256(file))
        for name, file in parts.items()
    )
    manifest = manifest.model_copy(update={"parts": described})
    temporary = target.with_name(f".{target.name}.partial")
    temporary.unlink(missing_ok=True)
    with (
        disk.naming(target),
        disk.creating(temporary) as stream,
        tarfile.open(fileobj=stream, mode="w:", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = manifest.model_dump_json(indent=2).encode()
        tar.addfile(_member(MANIFEST, len(text)), BytesIO(text))
        for part in described:
            with parts[part.name].open("rb") as content:
                tar.addfile(_member(part.name, part.bytes), content)
    read(temporary)
    temporary.rename(target)
    return Archive(target, manifest)


def read(file: Path) -> Archive:
    """Read an archive and compare every part with the manifest. TollgateError if anything differs."""
    hint = "take another backup, or copy this one again"
    try:
        with tarfile.open(file, "r:") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MANIFEST_MAY_HAVE:
                raise TollgateError(f"{file} is not a Tollgate backup: it does not begin with {MANIFEST}", hint)
            manifest = Manifest.model_validate_json(cast(IO[bytes], tar.extractfile(first)).read())
            digests: dict[str, str] = {}
            for member in tar:
                if member is not first:
                    digests[member.name] = _part_digest(tar, member, digests)
    except OSError as error:
        raise TollgateError(f"{file}: {error.strerror or error}", "name an archive that `make backup` wrote") from None
    except tarfile.TarError as error:
        raise TollgateError(f"{file} cannot be read: {error}", hint) from None
    except ValidationError as error:
        field = ".".join(str(word) for word in error.errors()[0]["loc"])
        raise TollgateError(
            f"{file}: {MANIFEST}: {shown(field)}: {error.errors()[0]['msg']}",
            "if a newer version of the kit wrote this archive, restore it with that version",
        ) from None
    named: dict[str, str] = {part.name: part.sha256 for part in manifest.parts}
    broken = sorted(name for name in named.keys() | digests.keys() if named.get(name) != digests.get(name))
    if broken:
        names = ", ".join(shown(name) for name in broken)
        raise TollgateError(f"{file} is damaged: {names}: the content differs from the manifest", hint)
    return Archive(file, manifest)


def stamp(moment: datetime) -> str:
    """A moment for a file's name: 20261121T140500Z."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def _part_digest(tar: tarfile.TarFile, member: tarfile.TarInfo, seen: Mapping[str, str]) -> str:
    """The SHA-256 of a part. A duplicate, or a part that is not a plain file, gives words that match no digest."""
    if len(seen) >= _MOST_PARTS:
        raise TollgateError(
            f"expected at most {_MOST_PARTS} parts in the archive, found more",
            "restore an archive that `make backup` wrote",
        )
    if member.name in seen:
        return "twice"
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        return "not a plain file"
    return _digest(cast(IO[bytes], tar.extractfile(member)))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return _digest(stream)


def _digest(stream: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
