"""Rules for the TLS settings together, and for the names and the server of TLS=acme."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


def mail_address(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+", value):
        raise ValueError(f"expected an address such as admin@example.com, found {value[:60]!r}")
    return value


def directory_address(value: str) -> str:
    parts = urlsplit(value or LETS_ENCRYPT)
    odd = re.search(r"[\s\"'`$\\]", value)
    if parts.scheme != "https" or not parts.hostname or parts.username or odd:
        raise ValueError(f"expected the https:// address of an ACME directory, found {value[:60]!r}")
    return value or LETS_ENCRYPT


class Chosen(Protocol):
    """The TLS settings of config/env/settings.py."""

    @property
    def tls(self) -> str: ...
    @property
    def tls_certificate(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...
    @property
    def acme_email(self) -> str: ...
    @property
    def host_names(self) -> Sequence[str]: ...


def tls_problems(settings: Chosen) -> Iterator[tuple[str, str, str]]:
    """The problems: the setting, what is wrong, and what to do."""
    if settings.tls == "files":
        for name, value in (("TLS_CERTIFICATE", settings.tls_certificate), ("TLS_KEY", settings.tls_key)):
            if value is None:
                hint = "give the path of a PEM file; TLS=self-signed needs no file"
                yield "TLS", f"files: expected {name} to be set too", hint
    elif settings.tls == "acme":
        if not settings.acme_email:
            yield "ACME_EMAIL", "TLS=acme: expected an address, found none", "the ACME server writes to it"
        if not settings.host_names:
            hint = "the names that the certificate is for, such as GATEWAY_HOSTS=gateway.example"
            yield "GATEWAY_HOSTS", "TLS=acme: expected at least one name, found none", hint
        yield from _unobtainable_names(settings.host_names)


def _unobtainable_names(hosts: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    for host in hosts:
        if host.startswith("*."):
            hint = "a wildcard needs a DNS challenge: get it with your own client and set TLS=files"
            yield "GATEWAY_HOSTS", f"TLS=acme: HTTP cannot prove a wildcard, found {host}", hint
        elif _is_address(host):
            hint = "give the host name of that address"
            yield "GATEWAY_HOSTS", f"TLS=acme: expected a name, found the address {host}", hint


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
