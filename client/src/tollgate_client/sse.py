"""Server-sent events, read from bytes as they come. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tollgate_client.errors import StreamInterruptedError

# An event larger than this is not an answer of a model.
LARGEST_EVENT = 64 * 2**20


@dataclass(frozen=True)
class Event:
    """`name` is the `event:` line, or empty."""

    name: str
    data: bytes


class EventReader:
    """Feed it pieces of any size; it gives each event once, when its blank line has come."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._searched = 0
        self._name = ""
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, piece: bytes) -> Iterator[Event]:
        self._rest += piece
        if len(self._rest) + self._held > LARGEST_EVENT:
            raise StreamInterruptedError(f"an event of the stream is larger than {LARGEST_EVENT} bytes")
        while (end := self._rest.find(b"\n", self._searched)) >= 0:
            line = bytes(self._rest[:end]).removesuffix(b"\r")
            del self._rest[: end + 1]
            self._searched = 0
            if (event := self._line(line)) is not None:
                yield event
        self._searched = len(self._rest)

    def _line(self, line: bytes) -> Event | None:
        if not line:
            name, data = self._name, self._data
            self._name, self._data, self._held = "", [], 0
            return Event(name, b"\n".join(data)) if data else None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._held += len(value) + 1
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        return None
