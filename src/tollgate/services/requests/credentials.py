"""Finds the key of a request. Claude Code can send two headers, and our key can be in either."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

# The form of our keys. LiteLLM looks up nothing else as a virtual key.
_KEY = re.compile(r"^sk-[!-~]{5,252}$")
_BEARER = re.compile(r"^(?:bearer\s+){1,9}", re.IGNORECASE)
# Every header in which LiteLLM looks for a key, in LiteLLM's order.
CARRIERS = (
    b"x-litellm-api-key",
    b"authorization",
    b"api-key",
    b"x-api-key",
    b"x-goog-api-key",
    b"ocp-apim-subscription-key",
)
# The headers in which clients of this gateway send keys.
_READ = (b"authorization", b"x-api-key")


def candidates(headers: Headers) -> list[str]:
    """The keys to try, from Authorization first. Values that do not have the form of our keys are left out."""
    sent: dict[bytes, str] = {}
    for name, value in headers:
        if (lowered := name.lower()) in _READ:
            sent.setdefault(lowered, _BEARER.sub("", value.decode("latin-1").strip()))
    return [key for key in dict.fromkeys(sent.get(name, "") for name in _READ) if _KEY.match(key)]


def carried(headers: Headers) -> bool:
    """Whether the request has any credential, ours or not."""
    return any(name.lower() in CARRIERS and value.strip() for name, value in headers)


def with_key(headers: Headers, key: str) -> list[tuple[bytes, bytes]]:
    """The headers with `key` as their only credential."""
    kept = [(name, value) for name, value in headers if name.lower() not in CARRIERS]
    return [*kept, (b"authorization", b"Bearer " + key.encode("latin-1"))]


def carries(headers: Headers, key: str) -> bool:
    """Whether exactly one Authorization header has `key` as a Bearer token. An empty key is nobody's."""
    given = [value for name, value in headers if name.lower() == b"authorization"]
    return bool(key) and len(given) == 1 and hmac.compare_digest(given[0], f"Bearer {key}".encode())
