"""age around the secrets of an archive: to the recipients in .env, back with an identity that is kept elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyrage  # type: ignore[import-untyped]

from tollgate.errors import TollgateError

_SSH_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


def recipients(text: str) -> list[pyrage.x25519.Recipient | pyrage.ssh.Recipient]:
    """age1... and ssh-... public keys, with commas between them; TollgateError for what is neither."""
    found = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        kind = pyrage.ssh.Recipient if word.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            found.append(kind.from_str(word))
        except pyrage.RecipientError as error:
            raise TollgateError(
                f"BACKUP_AGE_RECIPIENT: {word[:24]}... is no age recipient ({error})",
                "expected the public key that `age-keygen` or `tollgate backup --make-key FILE` prints: age1...",
            ) from None
    return found


def encrypt(content: bytes, to: Sequence[pyrage.x25519.Recipient | pyrage.ssh.Recipient]) -> bytes:
    return bytes(pyrage.encrypt(content, list(to)))


def decrypt(content: bytes, identity: Path) -> bytes:
    """TollgateError where the identity is none, or not one that the archive was encrypted to."""
    try:
        return bytes(pyrage.decrypt(content, _identities(identity)))
    except pyrage.DecryptError as error:
        raise TollgateError(
            f"{identity} does not open the secrets of this archive ({error})",
            "give the identity whose public key was BACKUP_AGE_RECIPIENT when the backup was made",
        ) from None


def make_identity(file: Path) -> str:
    """Write a new identity, 0600, never over another file; return the recipient that belongs to it."""
    identity = pyrage.x25519.Identity.generate()
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise TollgateError(f"{file}: {error.strerror}", "name a file that does not exist yet") from None
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"# public key: {identity.to_public()}\n{identity}\n")
        stream.flush()
        os.fsync(stream.fileno())
    return str(identity.to_public())


def _identities(file: Path) -> list[pyrage.x25519.Identity | pyrage.ssh.Identity]:
    try:
        content = file.read_bytes()
        if content.startswith(_SSH_KEY.encode()):
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = [line.strip() for line in content.decode().splitlines()]
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as error:
        raise TollgateError(f"{file}: {error.strerror}", "name the file that holds the age identity") from None
    except (pyrage.IdentityError, UnicodeDecodeError):
        found = []
    if not found:
        raise TollgateError(
            f"{file} holds no age identity", "expected a line AGE-SECRET-KEY-1..., or an OpenSSH private key"
        )
    return list(found)
