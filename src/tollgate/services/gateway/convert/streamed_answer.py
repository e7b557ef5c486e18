"""The deltas of a streamed chat answer, written as the blocks of a Messages answer in their order."""

from __future__ import annotations

from tollgate.services.gateway.convert import carried, ending, parts, reasoning, usage
from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.convert.stream_calls import StreamCalls
from tollgate.services.gateway.convert.upstream_error import Loads
from tollgate.services.gateway.convert.writer import Writer


class StreamedAnswer:
    """Thinking and text as they come, then the tool calls; text that comes after a call waits until the calls are over.

    Secrets beside the reasoning (OpenRouter's `reasoning_details`) go into the signature of the thinking block, or into
    a redacted one where no words came with them.
    """

    def __init__(self, writer: Writer, request: Json, model: str, message_id: str, estimate: int, loads: Loads) -> None:
        self._writer = writer
        self._request, self._model, self._message_id, self._estimate = request, model, message_id, estimate
        self._calls = StreamCalls(writer, request, message_id, loads)
        self._display = reasoning.display(request)
        self._characters = 0
        self._refused = False
        self._late_text: list[str] = []
        self._hidden: list[str] = []
        self._details: list[Json] = []

    @property
    def characters(self) -> int:
        return self._characters + self._calls.characters

    def text(self, text: str) -> None:
        self._characters += len(text)
        if self._writer.block == "text":
            self._writer.text(text)
            return
        self._begin()
        if self._calls:
            self._late_text.append(text)
            return
        self._close_thinking()
        self._writer.text(text)

    def delta(self, delta: Json) -> None:
        """Any delta. The words of one delta are in the order reasoning, text, calls."""
        words, details = parts.reasoning(delta), parts.details(delta)
        if words or details:
            self._think(words, details)
        if text := parts.text(delta):
            self.text(text)
        if refusal := parts.refusal(delta):
            self._refused = True
            self.text(refusal)
        if calls := parts.calls(delta):
            self._begin()
            if not self._calls:
                self._close_thinking()
            self._calls.feed(calls)

    def finish(self, choice: Json, tokens: usage.Tokens) -> str:
        """Writes what waits and the end; returns the stop reason. Raises UpstreamFailedError."""
        self._begin()
        if not self._calls:
            self._close_thinking()
        finish = choice.get("finish_reason")
        self._calls.finish(cut=isinstance(finish, str) and ending.is_length(finish))
        if late := "".join(self._late_text).strip():
            self._writer.text(late)
        self._close_thinking()
        end = ending.read(choice, self._request, calls=bool(self._calls), refused=self._refused)
        self._writer.end(end, usage.in_messages(tokens, estimate=self._estimate, characters=self.characters))
        return end.stop_reason

    def _begin(self) -> None:
        if not self._writer.started:
            self._writer.start(self._message_id, self._model, self._estimate)

    def _think(self, words: str, details: list[Json]) -> None:
        self._characters += len(words)
        if words:
            self._begin()
        self._details += details
        if not words or self._calls or self._display == "off":
            return
        if self._writer.block != "thinking":
            self._writer.open_thinking()
        if self._display == "shown":
            self._writer.piece(words)
        else:
            self._hidden.append(words)

    def _close_thinking(self) -> None:
        if self._writer.block == "thinking":
            self._writer.close_thinking(carried.signature(self._details, "".join(self._hidden)))
        elif self._may_carry() and any(map(carried.is_opaque, self._details)):
            self._writer.redacted_thinking(carried.pack(carried.joined(self._details)))
        else:
            return
        self._details.clear()
        self._hidden.clear()

    def _may_carry(self) -> bool:
        """A client that asked for no thinking gets the secrets after the calls, which need them, and never before."""
        return self._display != "off" or bool(self._calls)
