"""Records the newest requests for tests, within a limit of number and bytes.

It never stores credentials. Of a header with a credential it stores a short SHA-256, so a test can still see which key
reached the provider. The same applies to query strings.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from tollgate.services.provider.checks import loads

MAX_ENTRIES = 1000
MAX_BYTES = 32 * 2**20
MAX_BODY = 2**20  # a longer body is recorded by its size and hash

_SECRET_WORDS = ("auth", "key", "token", "secret", "cookie", "password", "signature")


@dataclass
class Entry:
    """One request and its result. Times are ISO 8601 UTC; `ended` is None while the answer is being sent."""

    number: int
    at: str
    method: str
    path: str
    query: list[tuple[str, str]]
    headers: list[tuple[str, str]]
    request_id: str = ""
    body: Any = None
    body_bytes: int = 0
    body_sha256: str = ""
    model: str | None = None
    stream: bool = False
    dials: dict[str, Any] = field(default_factory=dict)
    status: int | None = None
    tokens_sent: int = 0
    client_gone_at: str | None = None
    ended: str | None = None  # complete, client gone, dropped, stopped (the provider stopped)

    def client_left(self) -> None:
        self.client_gone_at = now()
        self.ended = "client gone"


class Recorder:
    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES, max_body: int = MAX_BODY) -> None:
        self.max_entries = max_entries
        self.max_bytes = max_bytes
        self.max_body = max_body
        self.seen = 0
        self._kept: deque[Entry] = deque()
        self._sizes: dict[int, int] = {}  # bytes by entry number, for the entries kept
        self._total = 0

    def open(self, method: str, path: str, query: str, headers: Iterable[tuple[str, str]]) -> Entry:
        """Start an entry. Tests can read it immediately; it is completed while the request is answered."""
        self.seen += 1
        pairs = [(name.lower(), masked(name, value)) for name, value in headers]
        asked = [(name, masked(name, value)) for name, value in parse_qsl(query, keep_blank_values=True)]
        entry = Entry(self.seen, now(), method, path, asked, pairs)
        self._kept.append(entry)
        self._sizes[entry.number] = 0
        self._grow(entry, len(path) + sum(len(name) + len(value) for name, value in pairs + asked))
        return entry

    def body(self, entry: Entry, raw: bytes) -> None:
        entry.body_bytes = len(raw)
        entry.body_sha256 = hashlib.sha256(raw).hexdigest()
        if len(raw) > self.max_body or entry.number not in self._sizes:
            return
        try:
            entry.body = loads(raw) if raw else None
        except ValueError:
            entry.body = raw.decode("utf-8", "replace")
        self._grow(entry, len(raw))

    def latest(self, limit: int, path: str | None = None) -> list[dict[str, Any]]:
        """The newest entries, in the order of arrival."""
        chosen = [entry for entry in self._kept if path is None or entry.path == path]
        return [{**vars(entry)} for entry in chosen[-limit:]] if limit else []

    def clear(self) -> int:
        number = len(self._kept)
        self._kept.clear()
        self._sizes.clear()
        self._total = 0
        return number

    def _grow(self, entry: Entry, size: int) -> None:
        self._sizes[entry.number] += size
        self._total += size
        while len(self._kept) > self.max_entries or (self._total > self.max_bytes and len(self._kept) > 1):
            self._total -= self._sizes.pop(self._kept.popleft().number)


def masked(name: str, value: str) -> str:
    """`value`, or a mark if `name` is that of a credential. The same credential always gets the same mark."""
    if not any(word in name.lower() for word in _SECRET_WORDS):
        return value
    secret = value.partition(" ")[2].strip() if value.lower().startswith(("bearer ", "basic ")) else value
    return f"masked:{hashlib.sha256(secret.encode()).hexdigest()[:12]}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
