"""The page /usage: three files that never change while the process runs, with headers that allow nothing else.

The gateway process serves them itself, so that the page and the answer that it reads are of one release, and a test of
the process tests both.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tollgate.services.requests.routes import PAGE

DIRECTORY = Path(__file__).parent / "page"
_KINDS = {
    "/usage": ("usage.html", b"text/html; charset=utf-8"),
    "/usage/usage.css": ("usage.css", b"text/css; charset=utf-8"),
    "/usage/usage.js": ("usage.js", b"text/javascript; charset=utf-8"),
}
# The page may load its own two files and ask its own gateway. It may not be framed, and it sends forms nowhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"cache-control", b"no-store"),
)


@dataclass(frozen=True)
class File:
    kind: bytes
    content: bytes


def read() -> dict[str, File]:
    """Each file by its path on the listener."""
    return {path: File(kind, (DIRECTORY / name).read_bytes()) for path, (name, kind) in _KINDS.items() if path in PAGE}
