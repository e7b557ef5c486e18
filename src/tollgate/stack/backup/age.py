"""Encrypts an archive's secrets with age, to the recipients in .env. Decrypts them with the operator's identity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyrage  # type: ignore[import-untyped]

from tollgate import disk
from tollgate.errors import TollgateError

_SSH_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


def recipients(text: str) -> list[pyrage.x25519.Recipient | pyrage.ssh.Recipient]:
    """Public keys that begin with age1 or ssh-, separated by commas. TollgateError for any other text."""
    keys = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        kind = pyrage.ssh.Recipient if word.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            keys.append(kind.from_str(word))
        except pyrage.RecipientError as error:
            raise TollgateError(
                f"BACKUP_AGE_RECIPIENT: expected an age recipient, found {word[:24]}... ({error})",
                "give the public key that `age-keygen` or `tollgate backup --make-key FILE` prints: age1...",
            ) from None
    return keys


def encrypt(content: bytes, to: Sequence[pyrage.x25519.Recipient | pyrage.ssh.Recipient]) -> bytes:
    return bytes(pyrage.encrypt(content, list(to)))


def decrypt(content: bytes, identity: Path) -> bytes:
    """TollgateError if the file has no age identity, or if the archive was encrypted to another one."""
    try:
        return bytes(pyrage.decrypt(content, _identities(identity)))
    except pyrage.DecryptError as error:
        raise TollgateError(
            f"{identity} cannot decrypt the secrets of this archive ({error})",
            "give the identity whose public key was BACKUP_AGE_RECIPIENT when the backup was made",
        ) from None


def make_identity(file: Path) -> str:
    """Write a new identity (0600) and return its recipient. TollgateError if the file exists."""
    identity = pyrage.x25519.Identity.generate()
    try:
        disk.create(file, f"# public key: {identity.to_public()}\n{identity}\n", 0o600)
    except OSError as error:
        refusal = TollgateError(f"{file}: {error.strerror}", "name a file that does not exist yet")
        raise disk.refusal(error) or refusal from None
    return str(identity.to_public())


def _identities(file: Path) -> list[pyrage.x25519.Identity | pyrage.ssh.Identity]:
    try:
        content = file.read_bytes()
        if content.startswith(_SSH_KEY.encode()):
            return [pyrage.ssh.Identity.from_buffer(content)]
        lines = [line.strip() for line in content.decode().splitlines()]
        identities = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except OSError as error:
        raise TollgateError(f"{file}: {error.strerror}", "name the file that contains the age identity") from None
    except (pyrage.IdentityError, UnicodeDecodeError):
        identities = []
    if not identities:
        raise TollgateError(
            f"{file} has no age identity", "give a file with a line AGE-SECRET-KEY-1..., or an OpenSSH private key"
        )
    return list(identities)
