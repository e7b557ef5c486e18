"""A stream cut into whole lines or whole events, out of bytes that come in any pieces."""

from __future__ import annotations

# The longest line of an upstream: an image in one chunk has some megabytes.
LINE_BYTES = 8 * 1024 * 1024


class Lines:
    """Whole lines. A long line in small pieces is joined once, when its end is there."""

    def __init__(self, most: int = LINE_BYTES) -> None:
        self._most = most
        self._held: list[bytes] = []
        self._size = 0

    def of(self, data: bytes) -> bytes:
        """All bytes up to the last newline that has come; what follows it waits for more."""
        end = self._end(data)
        if not end:
            self._keep(data)
            return b""
        if end == len(data) and not self._held:
            self._forget()
            return data
        whole = b"".join((*self._held, data[:end]))
        self._forget()
        self._keep(data[end:])
        return whole

    def rest(self) -> bytes:
        """The bytes that still wait, for when nothing more comes."""
        rest = b"".join(self._held)
        self._forget()
        return rest

    @property
    def too_long(self) -> bool:
        """More waits than any line of either protocol has."""
        return self._size > self._most

    def _end(self, data: bytes) -> int:
        """The length of the part of `data` that is whole together with what waits; 0 if nothing is."""
        return data.rfind(b"\n") + 1

    def _keep(self, data: bytes) -> None:
        if data:
            self._held.append(data)
            self._size += len(data)

    def _forget(self) -> None:
        self._held.clear()
        self._size = 0


class Events(Lines):
    """Whole events. An event ends with a blank line, which may end with CRLF."""

    def __init__(self, most: int = LINE_BYTES) -> None:
        super().__init__(most)
        self._tail = b""

    def _end(self, data: bytes) -> int:
        seam = self._tail + data
        end = max(seam.rfind(b"\n\n") + 2, seam.rfind(b"\n\r\n") + 3)
        return end - len(self._tail) if end >= 3 else 0

    def _keep(self, data: bytes) -> None:
        super()._keep(data)
        self._tail = (self._tail + data)[-2:]

    def _forget(self) -> None:
        super()._forget()
        self._tail = b""
