"""The certificate clients see, read and checked: that it is there, fits its key, is valid now, and names this gateway.

An operator's files (TLS=files) and the one that stack/self_signed.py makes. What TLS=acme fetches lies with the service
that fetches it (stack/fetched.py); until then the self-signed one stands in.
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

from tollgate.config.env import Settings
from tollgate.config.secret import Secret
from tollgate.errors import InputError, Problem

# Below secrets/: key and certificate in one file.
SELF_SIGNED = "tls_self_signed.pem"
SOON, LONG = timedelta(days=21), timedelta(days=30)


@dataclass(frozen=True)
class Certificate:
    """`bundle` is what nginx reads: the key, the certificate, and what it is signed by."""

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
        """In the last quarter of its life where that is short: such a one is renewed by itself, and soon enough."""
        life = self.not_after - self.not_before
        return self.not_after - now < (SOON if life > LONG else life / 4)


def load(settings: Settings, secrets_dir: Path, now: datetime | None = None) -> Certificate | None:
    """What .env asks for; None where TLS is off, or where the self-signed one is not made yet (a deploy makes it).

    InputError with every problem of the files; no message repeats anything of a key.
    """
    if settings.tls == "files" and settings.tls_certificate and settings.tls_key:
        return read(settings.tls_certificate, settings.tls_key, now)
    made = secrets_dir / SELF_SIGNED
    if settings.tls in ("self-signed", "acme") and made.is_file():
        return read(made, made, now)
    return None


def read(certificate: Path, key: Path, now: datetime | None = None) -> Certificate:
    """Two PEM files, which may be one. InputError with what is wrong with either of them."""
    problems: list[Problem] = []
    chain = _chain(certificate, problems)
    private = _key(key, problems)
    if chain:
        problems += _not_valid(certificate, chain[0], now or datetime.now(UTC))
    if chain and private and private[1] != _public(chain[0]):
        hint = "give the key this certificate was made with; the certificate itself comes first in its file"
        problems.append(Problem(key, 0, "TLS_KEY", f"is not the key of the certificate in {certificate}", hint))
    if problems or not chain or not private:
        raise InputError(problems)
    return _certificate(chain, private[0])


def fetched(chain: str) -> Certificate:
    """What an ACME server gave, without its key; ValueError where the text holds no certificate."""
    return _certificate(x509.load_pem_x509_certificates(chain.encode()))


def _certificate(chain: Sequence[x509.Certificate], key: str = "") -> Certificate:
    first, text = chain[0], "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    return Certificate(
        bundle=Secret(key + text),
        chain=text,
        names=_names(first),
        not_before=first.not_valid_before_utc,
        not_after=first.not_valid_after_utc,
        fingerprint=first.fingerprint(hashes.SHA256()).hex(),
    )


def authorities(file: Path | None, name: str = "CA_BUNDLE") -> str:
    """The file's certificates as PEM and nothing else of it; empty where `name` is not set."""
    if file is None:
        return ""
    problems: list[Problem] = []
    content = _bytes(file, name, problems)
    try:
        found = x509.load_pem_x509_certificates(content) if content else []
    except ValueError:
        hint = "PEM text (-----BEGIN CERTIFICATE-----); convert it: openssl x509 -inform der -in FILE"
        problems.append(Problem(file, 0, name, "holds no certificate that can be read", hint))
        found = []
    if problems:
        raise InputError(problems)
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in found)


def _bytes(file: Path, name: str, problems: list[Problem]) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        hint = "an absolute path of this host, readable by who runs the deploy"
        problems.append(Problem(file, 0, name, error.strerror or str(error), hint))
        return b""


def _chain(file: Path, problems: list[Problem]) -> list[x509.Certificate]:
    content = _bytes(file, "TLS_CERTIFICATE", problems)
    if not content:
        return []
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        hint = "PEM text (-----BEGIN CERTIFICATE-----): the certificate first, then what it is signed by"
        problems.append(Problem(file, 0, "TLS_CERTIFICATE", "holds no certificate that can be read", hint))
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
        hint = "nginx starts without anybody to ask: take the passphrase off, and keep the file mode 0600"
        problems.append(Problem(file, 0, "TLS_KEY", "is encrypted with a passphrase", hint))
        return None
    except (ValueError, UnsupportedAlgorithm):
        hint = "PEM text (-----BEGIN PRIVATE KEY-----), RSA or ECDSA"
        problems.append(Problem(file, 0, "TLS_KEY", "holds no private key that can be read", hint))
        return None
    return text, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _not_valid(file: Path, certificate: x509.Certificate, now: datetime) -> Iterable[Problem]:
    ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if ends <= now:
        hint = "clients refuse it: have it renewed, then run `make deploy`; TLS=off goes on without"
        yield Problem(file, 0, "TLS_CERTIFICATE", f"expired on {ends:%Y-%m-%d %H:%M} UTC", hint)
    if begins > now:
        hint = "look at this machine's clock"
        yield Problem(file, 0, "TLS_CERTIFICATE", f"is not valid before {begins:%Y-%m-%d %H:%M} UTC", hint)


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Names and addresses of the extension that clients look at; the subject they have not looked at for years."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [name.lower() for name in found.get_values_for_type(x509.DNSName)]
    return (*names, *(str(address) for address in found.get_values_for_type(x509.IPAddress)))


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
