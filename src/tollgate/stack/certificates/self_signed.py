"""Makes the self-signed certificate. With TLS=acme, nginx serves it until the first fetched certificate arrives."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tollgate.config.env.certificate import SELF_SIGNED, is_address, read
from tollgate.config.env.settings import Settings
from tollgate.config.secret import Secret
from tollgate.errors import InputError
from tollgate.site import Site
from tollgate.stack.secrets import store as secrets

# Clients trust the self-signed certificate itself, so each of them needs each new one. Therefore it lives long. Apple's
# clients accept at most 825 days.
LIFE = timedelta(days=820)
RENEW_BEFORE = timedelta(days=30)
HERE = ("localhost", "127.0.0.1")


def ensure(site: Site, settings: Settings, now: datetime | None = None) -> bool:
    """Make the certificate if the settings need one and it is missing, ends soon or has other names.

    Returns whether it made one.
    """
    if settings.tls not in ("self-signed", "acme"):
        return False
    now = now or datetime.now(UTC)
    names = tuple(dict.fromkeys((*settings.host_names, *HERE)))
    site.secrets_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = site.secret(SELF_SIGNED)
    if path.is_file():
        try:
            current = read(path, path, now)
        except InputError:
            pass  # it expired, or somebody broke it: make a new one
        else:
            if set(current.names) == set(names) and current.not_after - now > RENEW_BEFORE:
                return False
    path.unlink(missing_ok=True)
    secrets.store(path, make(names, now))
    return True


def make(names: tuple[str, ...], now: datetime) -> Secret:
    """Key and certificate as one PEM text."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    alternatives: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name) for name in names
    ]
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        # Not a CA: clients trust only this certificate, and a stolen key cannot sign others.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Secret((private + certificate.public_bytes(Encoding.PEM)).decode())
