"""Checks single values in `.env`. The first line of a ValueError says what was expected and found, the second hints."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from tollgate.errors import Mistake

_HOST = re.compile(r"(?:\*\.)?(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def address(value: str) -> str:
    try:
        return str(ipaddress.IPv4Address(value))
    except ValueError:
        raise Mistake(
            f"expected an IPv4 address, found {value[:60]!r}", "0.0.0.0 for everyone, 127.0.0.1 for this machine"
        ) from None


def mirror(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"expected an http:// or https:// address without credentials, found {value[:60]!r}")
    return value


def image_source(value: object) -> object:
    if value == "auto":
        hint = "write local, or registry if this gateway's Postgres and Redis run official images"
        raise Mistake("expected 'local' or 'registry', found 'auto', which no longer exists", hint)
    return value


def recipients(value: str) -> str:
    if value.startswith("AGE-SECRET-KEY"):
        raise Mistake("expected a public key, found a secret one", "its public key starts with age1")
    for word in filter(None, map(str.strip, value.split(","))):
        if not re.fullmatch(r"age1[0-9a-z]+|ssh-(ed25519|rsa) \S+( .*)?", word):
            raise Mistake(f"expected age1... or ssh-ed25519 ..., found {word[:60]!r}", "as age-keygen prints it")
    return value


def proxy(value: str) -> str | None:
    if not value:
        return None
    parts = urlsplit(value)
    if parts.scheme != "http" or not parts.hostname or parts.username or parts.path not in ("", "/"):
        hint = "HTTPS goes through it by CONNECT, encrypted end to end; `docker inspect` would show credentials"
        shown = "***" if "@" in value else repr(value[:60])
        raise Mistake(f"expected http://HOST:PORT without credentials, found {shown}", hint)
    return value.rstrip("/")


def hosts(value: str) -> str:
    names = [name.strip().lower() for name in value.split(",")] if value else []
    for name in names:
        if not _HOST.fullmatch(name) or len(name) > 253:
            raise Mistake(f"expected names or addresses separated by commas, found {name[:60]!r}", "no port, no scheme")
    return ",".join(names)


def path(value: object) -> object:
    return (Path(value) if value else None) if isinstance(value, str) else value
