"""A streamed answer, to iterate over. Its connection ends also if you leave it early."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Generic, TypeVar

import httpx

from tollgate_client import refusals
from tollgate_client._async.connection import Connection
from tollgate_client.availability import Note
from tollgate_client.call import Call, StreamReader
from tollgate_client.errors import AnswerError, TollgateError
from tollgate_client.messages import MessageEvent, MessageUsage
from tollgate_client.models import Usage
from tollgate_client.part import Part
from tollgate_client.prices import Tokens

P = TypeVar("P", bound=Part)
UsageOf = Callable[[P, Usage | MessageUsage | None], Usage | MessageUsage | None]


class Stream(Generic[P]):
    """Asks the gateway when the first piece is asked for.

    `usage` has the tokens when the stream is `over`, and `priced_model` is the model with the price. `request_id` is
    known from the first piece on. A `break` in the loop closes the connection, and the gateway then stops the model.
    `async with` closes it in any case.
    """

    def __init__(
        self,
        connection: Connection,
        call: Call,
        kind: type[P],
        usage_of: UsageOf[P],
        note: Note,
    ) -> None:
        self.usage: Usage | MessageUsage | None = None
        self.asked_model = call.model
        self.offered_tools, self.called_tools = call.offered_tools, list[str]()
        self._reader = StreamReader(kind, connection.settings.api_key)
        self._usage_of = usage_of
        self._note = note
        self._begun = self._ended = False
        # The generator holds no reference to the stream: a stream that is left is collected, and its generator closed.
        self._pieces = _pieces(connection, call, self._reader)

    @property
    def request_id(self) -> str:
        return self._reader.request_id

    @property
    def priced_model(self) -> str:
        return self._reader.answered_by or self.asked_model

    @property
    def over(self) -> bool:
        """Whether the answer is complete. A stream that was left or cut never is."""
        return self._reader.over

    def __aiter__(self) -> Stream[P]:
        return self

    async def __anext__(self) -> P:
        if not self._begun:
            self._begun = True
            self._note.asked()
        try:
            piece = await self._pieces.__anext__()
        except StopAsyncIteration:
            self._end(None)
            raise
        except TollgateError as error:
            self._end(error)
            raise
        self.usage = self._usage_of(piece, self.usage)
        if isinstance(piece, MessageEvent):
            self.called_tools += piece.called_tools
        return piece

    def _end(self, error: TollgateError | None) -> None:
        # A stream that was left before its end has neither failed nor served.
        if not self._ended and (error or self.over):
            self._note.ended(error, self.usage.tokens() if self.usage is not None else Tokens())
        self._ended = True

    async def aclose(self) -> None:
        await self._pieces.aclose()

    async def __aenter__(self) -> Stream[P]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _pieces(connection: Connection, call: Call, reader: StreamReader[P]) -> AsyncGenerator[P, None]:
    response = await connection.open(call)
    reader.request_id = refusals.request_id(response.headers)
    reader.answered_by = refusals.answered_by(response.headers)
    failure: TollgateError | None = None
    try:
        kind = response.headers.get("content-type", "text/event-stream")
        if "text/event-stream" not in kind.lower():
            raise AnswerError(f"expected a stream, found {kind[:60]!r}", request_id=reader.request_id)
        async for piece in response.aiter_bytes():
            for part in reader.feed(piece):
                yield part
    except httpx.HTTPError as error:
        failure = refusals.interrupted(error, connection.settings.base_url, reader.request_id)
    finally:
        await response.aclose()
    if failure and not reader.over:
        raise failure
    reader.end()
