"""The archive as a file: manifest.json first, then the parts it names with their checksums; nothing of it is compressed
again, so that a part can be read where it lies.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import IO, Literal, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from tollgate.errors import TollgateError

MANIFEST = "manifest.json"
DATABASE, FILES, SECRETS, PLAIN_SECRETS = "database.dump", "files.tar.gz", "secrets.tar.gz.age", "secrets.tar.gz"
CHUNK = 1 << 20
_MANIFEST_MAY_HAVE = 4 << 20


class Part(BaseModel):
    """One file of the archive. `sha256` is of what lies in the archive, so encrypted parts are checked unopened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["database.dump", "files.tar.gz", "secrets.tar.gz.age", "secrets.tar.gz"]
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """What an archive holds and what it was made of."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    created: datetime
    kit: str
    litellm: str
    postgres: str
    # LiteLLM's migrations that the schema has, by name.
    migrations: tuple[str, ...]
    # Rows of each table, counted in the dump itself.
    rows: dict[str, int]
    # Bytes the database took; a restore needs as much beside the live one.
    size: int
    # Which litellm_salt_key the stored credentials were encrypted with; 64 bits of a hash over 256 random ones.
    salt: str
    left_out: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def secrets(self) -> str:
        """The name of the part with the secrets; empty where they were left out."""
        return next((part.name for part in self.parts if part.name in (SECRETS, PLAIN_SECRETS)), "")


@dataclass(frozen=True)
class Archive:
    """An archive whose checksums hold. `part` opens one of its parts."""

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
    """Make the archive under a temporary name, read it back as a whole, then give it its name."""
    described = tuple(
        Part(name=cast("Literal['database.dump']", name), bytes=file.stat().st_size, sha256=_sha256(file))
        for name, file in parts.items()
    )
    manifest = manifest.model_copy(update={"parts": described})
    temporary = target.with_name(f".{target.name}.partial")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        with tarfile.open(fileobj=stream, mode="w:", format=tarfile.PAX_FORMAT) as tar:
            text = manifest.model_dump_json(indent=2).encode()
            tar.addfile(_member(MANIFEST, len(text)), BytesIO(text))
            for part in described:
                with parts[part.name].open("rb") as content:
                    tar.addfile(_member(part.name, part.bytes), content)
        stream.flush()
        os.fsync(stream.fileno())
    read(temporary)
    temporary.rename(target)
    return Archive(target, manifest)


def read(file: Path) -> Archive:
    """The archive, once every part was found to be what the manifest says; TollgateError otherwise."""
    hint = "take another backup, or copy this one again"
    try:
        with tarfile.open(file, "r:") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST or not first.isreg() or first.size > _MANIFEST_MAY_HAVE:
                raise TollgateError(f"{file} is no backup of Tollgate's: it does not begin with {MANIFEST}", hint)
            manifest = Manifest.model_validate_json(cast(IO[bytes], tar.extractfile(first)).read())
            found = {}
            for member in tar:
                if member.name != MANIFEST:
                    stream = tar.extractfile(member)
                    found[member.name] = _digest(stream) if stream else "not a file"
    except OSError as error:
        raise TollgateError(f"{file}: {error.strerror or error}", "name an archive that `make backup` wrote") from None
    except tarfile.TarError as error:
        raise TollgateError(f"{file} cannot be read: {error}", hint) from None
    except ValidationError as error:
        field = ".".join(str(word) for word in error.errors()[0]["loc"])
        raise TollgateError(
            f"{file}: {MANIFEST}: {field}: {error.errors()[0]['msg']}", "it may be of a newer version of the kit"
        ) from None
    named: dict[str, str] = {part.name: part.sha256 for part in manifest.parts}
    broken = sorted(name for name in named.keys() | found.keys() if named.get(name) != found.get(name))
    if broken:
        raise TollgateError(f"{file} is damaged: {', '.join(broken)} is not what its manifest says", hint)
    return Archive(file, manifest)


def stamp(moment: datetime) -> str:
    """A moment as part of a file's name: 20261121T140500Z."""
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


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
