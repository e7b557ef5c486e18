"""Reads and writes the file with a tenant's key without following links.

A check of the path is not enough, because somebody could replace the file with a link after the check. So each
directory of the path is opened by itself, without following a link.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tollgate import disk
from tollgate.config.secret import Secret
from tollgate.config.tenant.key_files import MOST_BYTES, fault_of_status
from tollgate.errors import TollgateError

NEXT = "~next"  # no tenant id, key name or key file can end with this


@dataclass(frozen=True)
class KeyFile:
    """The file `path` below `base`. The path of `base` may contain links, because the operator made them."""

    base: Path
    path: str

    @property
    def file(self) -> Path:
        return self.base / self.path

    @property
    def next(self) -> KeyFile:
        """The file with the new key during a rotation, until the old key has an expiry."""
        return KeyFile(self.base, self.path + NEXT)

    def read(self) -> str | None:
        """The stripped text of the key; None if the file is missing. TollgateError if it is not a plain file."""
        try:
            with self._directory() as directory:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # do not wait for a pipe
                descriptor = os.open(self._name, flags, dir_fd=directory)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None
        try:
            if fault := fault_of_status(os.fstat(descriptor)):
                raise self._refused(f"expected a plain file, found {fault}")
            content = os.read(descriptor, MOST_BYTES)
        finally:
            os.close(descriptor)
        try:
            return content.decode().strip()
        except UnicodeDecodeError:
            raise self._refused("expected a key, found bytes that are not UTF-8 text") from None

    def store(self, secret: Secret) -> None:
        """Write a new file, 0600 from the first byte. TollgateError if it exists."""
        try:
            with self._directory() as directory:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                descriptor = os.open(self._name, flags, 0o600, dir_fd=directory)
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None
        disk.fill(descriptor, secret.reveal() + "\n")

    def promote_next(self) -> None:
        """Rename the next key's file to this name. TollgateError if one of the two is not a plain file."""
        try:
            with self._directory() as directory:
                for name in (self._name, self._name + NEXT):
                    if fault := fault_of_status(os.lstat(name, dir_fd=directory)):
                        raise self._refused(f"expected a plain file, found {fault}")
                os.replace(self._name + NEXT, self._name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError as error:
            raise self._refused(error.strerror or str(error)) from None

    @property
    def _name(self) -> str:
        return PurePosixPath(self.path).name

    @contextmanager
    def _directory(self) -> Iterator[int]:
        """The descriptor of the file's directory. Opens one part of the path after the other."""
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        descriptor = os.open(self.base, flags)
        try:
            for part in PurePosixPath(self.path).parts[:-1]:
                inner = os.open(part, flags | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _refused(self, why: str) -> TollgateError:
        return TollgateError(f"{self.file}: {why}", "put a plain file there that contains only the key")
