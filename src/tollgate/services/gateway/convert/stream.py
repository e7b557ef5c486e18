"""The bytes of a streamed chat completion, in whatever pieces, as the bytes of a Messages stream."""

from __future__ import annotations

import json
from typing import Any

from tollgate.services.gateway.convert import answer, upstream_error, usage
from tollgate.services.gateway.convert.lines import LINE_BYTES
from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.convert.sse import BOM, EventData
from tollgate.services.gateway.convert.streamed_answer import StreamedAnswer
from tollgate.services.gateway.convert.upstream_error import Loads, UpstreamFailedError
from tollgate.services.gateway.convert.writer import Writer, message_events
from tollgate.services.gateway.ledger.usage import OpenAIStream

DONE = b"[DONE]"
BLANK = BOM + b" \t\r\n"


class ChatStream:
    """Feed it what the upstream sends; send on what it returns. Call `end` when the upstream has closed.

    message_start comes with the first word of the answer, not with the upstream's first chunk. So a failure before it
    (`failed` is set, `started` is not) leaves the caller free to ask another upstream instead of sending the bytes.
    After a failure or the end, nothing more comes out.

    `request` is the client's Messages request, `model` the name the client asked for, `message_id` the id of the new
    message (`msg_…`), `estimate` its input tokens for message_start. `loads` parses JSON (orjson.loads in the process).
    `line_bytes` bounds a line, an event, and a whole answer that is no stream.
    """

    def __init__(
        self,
        *,
        request: Json,
        model: str,
        message_id: str,
        estimate: int,
        loads: Loads = json.loads,
        line_bytes: int = LINE_BYTES,
    ) -> None:
        self.failure: UpstreamFailedError | None = None
        self.stop_reason: str | None = None
        self.over = False
        self._request, self._model, self._message_id, self._estimate = request, model, message_id, estimate
        self._loads, self._line_bytes = loads, line_bytes
        self._writer = Writer()
        self._answer = StreamedAnswer(self._writer, request, model, message_id, estimate, loads)
        self._events = EventData(line_bytes)
        self._head: bytes | None = b""
        self._whole: list[bytes] | None = None
        self._whole_bytes = self._whole_characters = 0
        self._chunks = False
        self._finished: Json | None = None
        self._figures = OpenAIStream()

    @property
    def failed(self) -> str | None:
        """The kind of the failure, a key of upstream_error.KINDS; None without one."""
        return self.failure.kind if self.failure else None

    @property
    def started(self) -> bool:
        """Whether message_start was returned."""
        return self._writer.started

    @property
    def usage(self) -> usage.Tokens | None:
        """The tokens that the upstream has counted so far; None where it has not."""
        return usage.of(self._figures.figures)

    @property
    def counted(self) -> Any:
        """The upstream's figures so far, for the ledger; None where it has not counted."""
        return self._figures.figures or None

    @property
    def characters(self) -> int:
        """The characters of the answer so far: text, reasoning and arguments, shown to the client or not."""
        return self._answer.characters + self._whole_characters

    def feed(self, data: bytes) -> bytes:
        """The Messages events that `data` completes, maybe none. A failure becomes `event: error`."""
        if self.over:
            return b""
        try:
            if self._head is not None:
                data = self._begin(data)
            if self._whole is not None:
                self._keep(data)
            else:
                for payload in self._events.feed(data):
                    self._event(payload)
                    if self.over:
                        break
        except UpstreamFailedError as failure:
            self._fail(failure)
        return self._writer.taken()

    def end(self) -> bytes:
        """The last events. An upstream that closed before it said why it stopped has failed."""
        if self.over:
            return b""
        try:
            if self._whole is not None:
                self._convert_whole(b"".join(self._whole))
            else:
                self._end_of_events()
        except UpstreamFailedError as failure:
            self._fail(failure)
        return self._writer.taken()

    def _begin(self, data: bytes) -> bytes:
        """Tells by the first byte what the upstream sends: a web page, a whole answer in JSON, or events."""
        data = (self._head or b"") + data
        start = data.lstrip(BLANK)
        if not start:
            self._head = data[-len(BOM) :]
            return b""
        self._head = None
        if start.startswith(b"<"):
            raise UpstreamFailedError("html", start.decode("utf-8", "replace"))
        if start.startswith((b"{", b"[")):
            self._whole = []
        return data

    def _keep(self, data: bytes) -> None:
        self._whole_bytes += len(data)
        if self._whole_bytes > self._line_bytes:
            raise UpstreamFailedError("line_too_long")
        if self._whole is not None:
            self._whole.append(data)

    def _convert_whole(self, body: bytes) -> None:
        """Some servers answer a request for a stream with a whole answer, others with an error as plain JSON."""
        chat = answer.parse(body.lstrip(BLANK), self._loads)
        message = answer.to_messages(
            chat,
            request=self._request,
            model=self._model,
            message_id=self._message_id,
            estimate=self._estimate,
            loads=self._loads,
        )
        self._figures.feed(chat)
        self._whole_characters = answer.characters(chat)
        self._writer.start(self._message_id, self._model, self._estimate)
        message_events(self._writer, message)
        self.stop_reason = message["stop_reason"]
        self.over = True

    def _end_of_events(self) -> None:
        payloads = self._events.end()
        try:
            for payload in payloads:
                self._event(payload)
        except UpstreamFailedError as failure:
            # The last event is half an event.
            raise UpstreamFailedError("cut") if failure.kind == "unreadable" and self._chunks else failure from None
        if self.over:
            return
        if self._finished is None:
            raise UpstreamFailedError("cut" if self._chunks else "unreadable" if self._events.strange else "empty")
        self._finish()

    def _event(self, payload: bytes) -> None:
        try:
            chunk = self._loads(payload)
        except (ValueError, RecursionError):
            self._no_json(payload)
            return
        self._chunk(chunk)

    def _no_json(self, payload: bytes) -> None:
        """The end of the stream, events without a blank line between them, or JSON that only the tolerant parser takes.

        The tolerant one takes halves of surrogate pairs, which orjson refuses, and bytes that are not UTF-8.
        """
        word = payload.strip()
        if word == DONE:
            if self._finished is None:
                raise UpstreamFailedError("cut")
            self._finish()
        elif b"\n" in word:
            for line in word.split(b"\n"):
                if not self.over:
                    self._event(line)
        elif word:
            self._chunk(answer.parse(word.decode("utf-8", "replace").encode(), json.loads))

    def _chunk(self, chunk: object) -> None:
        if not isinstance(chunk, dict):
            raise UpstreamFailedError("unreadable", type(chunk).__name__)
        self._chunks = True
        choices = chunk.get("choices")
        self._figures.feed(chunk)
        if ("error" in chunk or not choices) and (failure := upstream_error.of(chunk)):
            raise failure
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            return
        choice = choices[0]
        if choice.get("index"):
            return
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            text = delta.get("content")
            if text and isinstance(text, str) and (len(delta) == 1 or (len(delta) == 2 and "role" in delta)):
                self._answer.text(text)
            else:
                self._answer.delta(delta)
        if choice.get("finish_reason"):
            self._choice_ends(chunk, choice)

    def _choice_ends(self, chunk: Json, choice: Json) -> None:
        if failure := upstream_error.of(choice):
            raise failure
        self._finished = choice

    def _finish(self) -> None:
        tokens = self.usage or usage.Tokens()
        self.stop_reason = self._answer.finish(self._finished or {}, tokens)
        self.over = True

    def _fail(self, failure: UpstreamFailedError) -> None:
        self.failure = failure
        self.over = True
        self._writer.error(failure.error_type, failure.message)
