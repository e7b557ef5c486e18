"""The pages /usage and /console: files that never change while the process runs, with headers that allow nothing else.

The gateway process serves them itself, so that a page and the answer that it reads are of one release, and a test of
the process tests both. Both pages use page.css and page.js, each below its own path: nginx has /usage on the public
listener and /console on the admin listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tollgate.services.requests.routes import CONSOLE_PAGE, PAGE

DIRECTORY = Path(__file__).parent / "page"
_KINDS = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
}
# A page may load its own files and ask its own gateway. It may not be framed, and it sends forms nowhere.
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
    return {path: _file(path) for path in (*PAGE, *CONSOLE_PAGE)}


def _file(path: str) -> File:
    """`/usage` is usage.html, `/usage/page.js` is page.js."""
    name = path.rpartition("/")[2]
    file = DIRECTORY / (name if "." in name else f"{name}.html")
    return File(_KINDS[file.suffix], file.read_bytes())
