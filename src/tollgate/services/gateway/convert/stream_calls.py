"""The tool calls of a streamed answer: pieces that upstreams interleave, written as one block after the other."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tollgate.services.gateway.convert import arguments, carried, parts
from tollgate.services.gateway.convert.call_ids import CallIds
from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.convert.upstream_error import Loads, UpstreamFailedError
from tollgate.services.gateway.convert.writer import Writer


@dataclass
class Call:
    """`sent`: how many of the pieces are written. `held`: they must be mended, so they wait for the end."""

    name: str = ""
    upstream_id: str = ""
    pieces: list[str] = field(default_factory=list)
    sent: int = 0
    held: bool = False
    opened: bool = False
    closed: bool = False

    def text(self) -> str:
        return "".join(self.pieces)


class StreamCalls:
    """The first call that is not closed is written while it comes; the others wait. Clients want one block at a time.

    A call that begins closes the one before if its arguments are whole. Otherwise the pieces are interleaved, and the
    waiting calls follow at the end.
    """

    def __init__(self, writer: Writer, request: Json, message_id: str, loads: Loads) -> None:
        self._writer = writer
        self._request = request
        self._loads = loads
        self._ids = CallIds(request, message_id)
        self._names: dict[str, str] = {}
        self._by_index: dict[Any, Call] = {}
        self._calls: list[Call] = []
        self._current = 0
        self.characters = 0

    def __len__(self) -> int:
        return len(self._calls)

    def feed(self, listed: list[Json]) -> None:
        """The calls of one delta. Raises UpstreamFailedError("bad_tool_call")."""
        for piece in listed:
            call = self._call(piece)
            name, given = parts.function(piece)
            call.name = call.name or name
            call.upstream_id = call.upstream_id or parts.call_id(piece)
            text = given if isinstance(given, str) else json.dumps(given) if isinstance(given, dict) else ""
            if text and (call.pieces or not text.isspace()):
                if call.closed and text.strip():
                    raise UpstreamFailedError("bad_tool_call", text)
                call.pieces.append(text)
                self.characters += len(text)
            if call is self._calls[self._current]:
                self._write(call)

    def finish(self, *, cut: bool) -> None:
        """Writes what waits. `cut`: the length limit ended the answer, so the last call may be half a call."""
        while self._current < len(self._calls):
            call = self._calls[self._current]
            last = self._current == len(self._calls) - 1
            if not call.name and cut and last:
                break
            self._close(call, cut=cut and last)

    def _call(self, piece: Json) -> Call:
        """The call that a piece belongs to: by its index, else the last one.

        An id and a name of its own begin a new call, also at an index that was there before (Gemini's servers number
        whole calls 0).
        """
        index = piece.get("index")
        call_id = parts.call_id(piece)
        known = self._by_index.get(index) if isinstance(index, int) else None
        if known is None and index is None and self._calls:
            known = self._calls[-1]
        named, _ = parts.function(piece)
        other = bool(known and named and call_id and known.upstream_id and call_id != known.upstream_id)
        if known is not None and not other:
            return known
        call = Call()
        self._calls.append(call)
        if isinstance(index, int):
            self._by_index[index] = call
        self._make_room()
        return call

    def _make_room(self) -> None:
        """Closes the current call if it is whole, now that another one has begun."""
        while self._current < len(self._calls) - 1:
            call = self._calls[self._current]
            if not (call.name and call.text().strip() and arguments.is_complete(call.text(), self._loads)):
                return
            self._close(call, cut=False)

    def _write(self, call: Call) -> None:
        """Writes the pieces that have come, once it is sure that they are the beginning of an object."""
        if not call.opened and call.name:
            self._open(call)
        if not call.opened or call.held or call.sent == len(call.pieces):
            return
        if not call.sent:
            text = call.text().lstrip()
            call.held = not text.startswith("{") and text.rstrip() != "null"
            if call.held or text.rstrip() in arguments.NOTHING:
                return
            call.pieces = [text[2:].lstrip() if text.startswith("{}") else text]
        for piece in call.pieces[call.sent :]:
            self._writer.piece(piece)
        call.sent = len(call.pieces)

    def _open(self, call: Call) -> None:
        call.opened = True
        self._names = self._names or carried.long_names(self._request)
        self._writer.open_call(self._ids.take(call.upstream_id), self._names.get(call.name, call.name))

    def _close(self, call: Call, *, cut: bool) -> None:
        if not call.name:
            raise UpstreamFailedError("bad_tool_call", "a call without a name")
        self._write(call)
        if not call.sent:
            # Nothing, or text that must be mended before a client can read it.
            try:
                self._writer.piece(json.dumps(arguments.parse(call.text(), self._loads), ensure_ascii=False))
            except UpstreamFailedError:
                if not cut:
                    raise
        elif not cut and not arguments.is_complete(call.text(), self._loads):
            raise UpstreamFailedError("bad_tool_call", call.text())
        self._writer.close()
        call.closed = True
        self._current += 1
