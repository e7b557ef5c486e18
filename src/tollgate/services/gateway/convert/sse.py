"""The data of server-sent events, out of bytes that come in any pieces.

By https://html.spec.whatwg.org/multipage/server-sent-events.html, with three allowances for servers that do not keep to
it: no blank line between events, none after the last one, and failures that only a name tells: `event: error`
(LM Studio), a field `error:` instead of `data:` (llama.cpp until 2025).
"""

from __future__ import annotations

from tollgate.services.gateway.convert.lines import LINE_BYTES, Lines
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError

BOM = b"\xef\xbb\xbf"


class EventData:
    """`feed` returns the data of each event that is complete, `end` what was left when the upstream closed.

    `strange`: a line was none of an event stream.
    """

    def __init__(self, line_bytes: int = LINE_BYTES) -> None:
        self._line_bytes = line_bytes
        self._whole = Lines(line_bytes)
        self._lines: list[bytes] = []
        self._lines_bytes = 0
        self._named_error = False
        self._first = True
        self.strange = False

    def feed(self, data: bytes) -> list[bytes]:
        """Raises UpstreamFailedError("line_too_long")."""
        whole = self._whole.of(data)
        if self._whole.too_long:
            raise UpstreamFailedError("line_too_long")
        return self._events(whole) if whole else []

    def end(self) -> list[bytes]:
        rest = self._whole.rest()
        events = self._events(rest) if rest else []
        self._dispatch(events)
        return events

    def _events(self, whole: bytes) -> list[bytes]:
        if self._first:
            self._first = False
            whole = whole.removeprefix(BOM)
        events: list[bytes] = []
        for line in whole.splitlines():
            if not line:
                self._dispatch(events)
            elif line.startswith(b"data:"):
                self._lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
                self._lines_bytes += len(line)
                if self._lines_bytes > self._line_bytes:
                    raise UpstreamFailedError("line_too_long")
            elif line.startswith(b"event:"):
                self._named_error = line[6:].strip() == b"error"
            elif line.startswith(b"error:"):
                self._named_error = True
                self._lines.append(line[6:].strip())
            elif not line.startswith((b":", b"id", b"retry")):
                self.strange = True
        return events

    def _dispatch(self, events: list[bytes]) -> None:
        if not self._lines and not self._named_error:
            return
        data = self._lines[0] if len(self._lines) == 1 else b"\n".join(self._lines)
        self._lines.clear()
        self._lines_bytes = 0
        if self._named_error:
            self._named_error = False
            data = b'{"error":%b}' % (data if data.lstrip().startswith((b"{", b'"')) else b'"event: error"')
        events.append(data)
