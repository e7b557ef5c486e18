"""One line of the journal: a JSON object whose first member is a checksum of the rest.

A line that was cut off, or a block that the disk lost, has no right checksum and is told apart from a whole line.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

try:
    import orjson
except ImportError:  # the standard library writes and reads the same lines
    orjson = None  # type: ignore[assignment]

_HEAD = b'{"crc":"'
_TAIL = len(_HEAD) + 8 + len(b'",')


@dataclass(frozen=True, slots=True)
class Line:
    """A whole line and where the next one begins. `content` is None if the checksum does not fit."""

    content: Mapping[str, Any] | None
    raw: bytes
    end: int


def encode(content: Mapping[str, Any]) -> bytes:
    """`content` must not be empty. The line ends with a newline, and has no other."""
    rest = dumps(content)[1:]
    return b'%s%08x",%s\n' % (_HEAD, zlib.crc32(rest), rest)


def decode(raw: bytes) -> Mapping[str, Any] | None:
    """The content without its checksum; None if the line is not whole."""
    rest = raw[_TAIL:]
    if raw[:_TAIL] != b'%s%08x",' % (_HEAD, zlib.crc32(rest)):
        return None
    content: Mapping[str, Any] = _loads(b"{" + rest)
    return content


def split(data: bytes, start: int) -> Iterator[Line]:
    """The lines of `data`, which begins at offset `start` of its file. A line without its newline is not whole.

    Zeros are room that was reserved and not used, or that the disk lost. They are no lines.
    """
    at = 0
    while at < len(data):
        newline = data.find(b"\n", at)
        end = len(data) if newline < 0 else newline
        raw = data[at:end].strip(b"\0")
        at = end + 1
        if raw:
            yield Line(None if newline < 0 else decode(raw), raw, start + min(at, len(data)))


def dumps(content: Any) -> bytes:
    """JSON without spaces, and without escapes for letters."""
    if orjson is not None:
        return orjson.dumps(content)
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _loads(raw: bytes) -> Any:
    return orjson.loads(raw) if orjson is not None else json.loads(raw)
