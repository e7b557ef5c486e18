"""Reads and checks the certificate for clients: it exists, fits its key, is valid now, and names this gateway.

It reads the operator's files (TLS=files) and the self-signed certificate (stack/certificates/self_signed.py). With
TLS=acme the certificate is in the volume of the service that fetches it (stack/certificates/acme.py). Until the first
one is fetched, nginx serves the self-signed one.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tollgate.config.env.settings import Settings
from tollgate.config.secret import Secret
from tollgate.errors import InputError, Problem

# Below secrets/: key and certificate in one file.
SELF_SIGNED = "tls_self_signed.pem"
SOON, LONG = timedelta(days=21), timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """`bundle` is the file for nginx: the key, the certificate, and its issuers."""

    bundle: Secret
    chain: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    fingerprint: str

    def covers(self, host: str) -> bool:
        """Whether a client that calls the gateway by this name accepts the certificate."""
        parent = host.partition(".")[2]
        return host in self.names or bool(parent and f"*.{parent}" in self.names)

    def uncovered(self, hosts: Sequence[str]) -> list[str]:
        return [host for host in hosts if not self.covers(host)]

    def ends_soon(self, now: datetime) -> bool:
        """In the last quarter of a short life: such certificates are renewed automatically, and in time."""
        life = self.not_after - self.not_before
        return self.not_after - now < (SOON if life > LONG else life / 4)


def load(settings: Settings, secrets_dir: Path, now: datetime | None = None) -> Certificate | None:
    """The certificate that .env asks for. None if TLS is off, or before a deploy has made the self-signed one.

    InputError with every problem of the files; no message repeats anything of a key.
    """
    if settings.tls == "files" and settings.tls_certificate and settings.tls_key:
        return read(settings.tls_certificate, settings.tls_key, now)
    self_signed = secrets_dir / SELF_SIGNED
    if settings.tls in ("self-signed", "acme") and self_signed.is_file():
        return read(self_signed, self_signed, now)
    return None


def read(certificate: Path, key: Path, now: datetime | None = None) -> Certificate:
    """Reads two PEM files, which may be the same. InputError with everything wrong in either."""
    problems: list[Problem] = []
    chain = _chain(certificate, problems)
    private = _key(key, problems)
    if chain:
        problems += _not_valid(certificate, chain[0], now or datetime.now(UTC))
    if chain and private and private[1] != _public(chain[0]):
        hint = "give the key that belongs to this certificate; the certificate itself must be first in its file"
        problems.append(Problem(key, 0, "TLS_KEY", f"is not the key of the certificate in {certificate}", hint))
    if problems or not chain or not private:
        raise InputError(problems)
    return _certificate(chain, private[0])


def fetched(chain: str) -> Certificate:
    """The certificate from an ACME server, without its key. ValueError if the text has no certificate."""
    return _certificate(x509.load_pem_x509_certificates(chain.encode()))


def _certificate(chain: Sequence[x509.Certificate], key: str = "") -> Certificate:
    first, text = chain[0], "".join(issued.public_bytes(Encoding.PEM).decode() for issued in chain)
    return Certificate(
        bundle=Secret(key + text),
        chain=text,
        names=_names(first),
        not_before=first.not_valid_before_utc,
        not_after=first.not_valid_after_utc,
        fingerprint=first.fingerprint(hashes.SHA256()).hex(),
    )


def authorities(file: Path | None, name: str = "CA_BUNDLE") -> str:
    """The certificates of the file as PEM, without anything else. Empty if `name` is not set."""
    if file is None:
        return ""
    problems: list[Problem] = []
    content = _bytes(file, name, problems)
    try:
        certificates = x509.load_pem_x509_certificates(content) if content else []
    except ValueError:
        hint = "PEM text (-----BEGIN CERTIFICATE-----); convert it: openssl x509 -inform der -in FILE"
        problems.append(Problem(file, 0, name, "has no readable certificate", hint))
        certificates = []
    if problems:
        raise InputError(problems)
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def _bytes(file: Path, name: str, problems: list[Problem]) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        hint = "an absolute path of this host that the user who deploys can read"
        problems.append(Problem(file, 0, name, error.strerror or str(error), hint))
        return b""


def _chain(file: Path, problems: list[Problem]) -> list[x509.Certificate]:
    content = _bytes(file, "TLS_CERTIFICATE", problems)
    if not content:
        return []
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        hint = "PEM text (-----BEGIN CERTIFICATE-----): the certificate first, then its issuers"
        problems.append(Problem(file, 0, "TLS_CERTIFICATE", "has no readable certificate", hint))
        return []


def _key(file: Path, problems: list[Problem]) -> tuple[str, bytes] | None:
    """The key as PEM, and its public half."""
    content = _bytes(file, "TLS_KEY", problems)
    if not content:
        return None
    try:
        key = load_pem_private_key(content, password=None)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    except TypeError:
        hint = "nginx cannot ask for a passphrase: remove it, and keep the file mode 0600"
        problems.append(Problem(file, 0, "TLS_KEY", "is encrypted with a passphrase", hint))
        return None
    except (ValueError, UnsupportedAlgorithm):
        hint = "PEM text (-----BEGIN PRIVATE KEY-----), RSA or ECDSA"
        problems.append(Problem(file, 0, "TLS_KEY", "has no readable private key", hint))
        return None
    return text, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _not_valid(file: Path, certificate: x509.Certificate, now: datetime) -> Iterable[Problem]:
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if ends <= now:
        hint = "clients refuse it: renew it, then run `make deploy`; or set TLS=off"
        yield Problem(file, 0, "TLS_CERTIFICATE", f"expired on {ends:%Y-%m-%d %H:%M} UTC", hint)
    if begins > now:
        hint = "check this machine's clock"
        yield Problem(file, 0, "TLS_CERTIFICATE", f"is not valid before {begins:%Y-%m-%d %H:%M} UTC", hint)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Names and addresses in the extension that clients check. They ignore the subject."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [name.lower() for name in extension.get_values_for_type(x509.DNSName)]
    return (*names, *(str(address) for address in extension.get_values_for_type(x509.IPAddress)))


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
