"""Answers a call without LiteLLM: limits and journal first, then a target's answer piece by piece.

Before the first byte another target is asked, then the fallbacks (asking.py). After it a failure becomes an error in
the stream. A client that leaves ends the upstream's call.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from tollgate.services.choice.choose import ANSWERED
from tollgate.services.gateway import booking
from tollgate.services.gateway.asking import Asking, price_problem
from tollgate.services.gateway.booking import CLIENT_LEFT, Booked
from tollgate.services.gateway.call import Call, HandOverError, RefusedError
from tollgate.services.gateway.exchange import Exchange, Stream
from tollgate.services.gateway.faults import where
from tollgate.services.gateway.leaving import until_left
from tollgate.services.gateway.ledger.journal import Journal
from tollgate.services.gateway.metrics import Metrics
from tollgate.services.gateway.outcomes import STREAM
from tollgate.services.gateway.outgoing import protocol_for
from tollgate.services.gateway.silence import COMMENT, Silence, stream_begins
from tollgate.services.gateway.upstream.client import let_go
from tollgate.services.limits.limiter import Limiter
from tollgate.services.refusals import envelopes
from tollgate.services.refusals.door import malformed
from tollgate.services.refusals.refusal import Refusal

log = logging.getLogger("tollgate.gateway.direct")

# nginx's status for a client that left.
CLIENT_GONE = 499
_PINGS = {True: b'event: ping\ndata: {"type": "ping"}\n\n', False: COMMENT}
_JSON = (b"content-type", b"application/json")


@dataclass
class Direct:
    """`handover_key` signs what a replica takes over."""

    asking: Asking
    limiter: Limiter
    journal: Journal
    metrics: Metrics
    handover_key: str = field(repr=False)
    _letting_go: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, call: Call) -> None:
        """Answer the call. Raises RefusedError, or HandOverError if LiteLLM must answer; then nothing was sent."""
        _check(call)
        await until_left(call.receive, self._serve(call))

    async def _serve(self, call: Call) -> None:
        booked = await booking.admit(self.limiter, self.journal, call)
        try:
            exchange = await self.asking.ask(call, booked)
            await self._deliver(call, booked, exchange)
        except HandOverError as error:
            error.counted = await booked.hand_over(self.handover_key)
            raise
        except RefusedError as error:
            await booked.unanswered(error.refusal.status, error.refusal.code)
            raise
        except asyncio.CancelledError:
            await asyncio.shield(booked.unanswered(CLIENT_GONE, CLIENT_LEFT))
            raise
        except Exception as error:
            await booked.unanswered(500, type(error).__name__)
            raise

    async def _deliver(self, call: Call, booked: Booked, exchange: Exchange) -> None:
        complete = False
        try:
            if exchange.stream is None:
                await self._ended(booked, exchange, 200, "")
                await call.send(_whole_begins(call, exchange))
                await call.send({"type": "http.response.body", "body": exchange.first})
                complete = True
            else:
                complete = await self._stream(call, booked, exchange, exchange.stream)
        except asyncio.CancelledError:
            # The client left. The answer is booked as far as it came.
            await asyncio.shield(self._ended(booked, exchange, CLIENT_GONE, CLIENT_LEFT))
            raise
        finally:
            if complete:
                self._let_go(exchange.answer)
            else:
                exchange.answer.close()

    async def _stream(self, call: Call, booked: Booked, exchange: Exchange, stream: Stream) -> bool:
        """Whether the answer was complete."""
        await call.send(stream_begins(call.request_id, _answered_by(call, exchange)))
        data = exchange.first
        ended: str | None = None
        silence = Silence(partial(_ping, call))
        try:
            while ended is None and not stream.over and not stream.failed:
                if data:
                    await call.send({"type": "http.response.body", "body": data, "more_body": True})
                booked.progress(exchange.usage)
                data, ended = await self._next(call, exchange.answer.content, stream)
                silence.hear()
        finally:
            await silence.end()
        failed = ended or stream.failed or ""
        await self._ended(booked, exchange, 200, failed)
        # A translated stream and an upstream's own error event tell the client by themselves.
        if failed and not stream.over:
            data += _error(call)
        await call.send({"type": "http.response.body", "body": data})
        return not failed

    async def _next(self, call: Call, content: aiohttp.StreamReader, stream: Stream) -> tuple[bytes, str | None]:
        """The next bytes for the client; and why nothing more comes, empty for the end, None while more may come."""
        try:
            piece = await content.readany()
            if not piece and content.at_eof():
                return stream.end(), ""
            return stream.feed(piece), None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            return b"", type(error).__name__
        except Exception as error:  # noqa: BLE001  a fault of ours ends the stream as an error, and is booked
            log.error("request %s: the converter failed: %s", call.request_id, where(error))
            self.metrics.stream_not_converted()
            return b"", STREAM

    def _let_go(self, answer: aiohttp.ClientResponse) -> None:
        """Without the client, which has its whole answer."""
        if answer.content.at_eof():
            answer.release()
            return
        task = asyncio.create_task(let_go(answer))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def _ended(self, booked: Booked, exchange: Exchange, status: int, error: str) -> None:
        await booked.end(exchange.usage(), status, error)


def _check(call: Call) -> None:
    """Checks that need no question to anybody. Raises RefusedError or HandOverError."""
    if all(protocol_for(call, target) is None for target in call.model.targets):
        raise HandOverError("protocol")
    if problem := price_problem(call, call.model):
        raise RefusedError(malformed(problem))


async def _ping(call: Call) -> bool:
    """Between two whole events, as every other piece."""
    await call.send({"type": "http.response.body", "body": _PINGS[call.anthropic], "more_body": True})
    return True


def _whole_begins(call: Call, exchange: Exchange) -> dict[str, object]:
    length = str(len(exchange.first)).encode()
    headers = [_JSON, (b"request-id", call.request_id.encode()), (b"content-length", length)]
    headers += _answered_by(call, exchange)
    return {"type": "http.response.start", "status": 200, "headers": headers}


def _answered_by(call: Call, exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """Tells the client whose price it pays, where that is not the model that it asked for."""
    name = exchange.model.name.encode()
    chosen = [(ANSWERED.encode(), name)] if call.choice else []
    return chosen if exchange.model is call.model else [*chosen, (b"tollgate-answered-by", name)]


def _error(call: Call) -> bytes:
    """For a stream that broke off after something was sent."""
    message = "The provider of this model broke off in the middle of its answer. Try again."
    refusal = Refusal(529, "overloaded_error", "provider_failed", message, retry=True, counts=True)
    if call.anthropic:
        return envelopes.event(refusal, call.request_id)
    # The last event of the upstream may lack its blank line.
    return b"\n\ndata: " + envelopes.body(refusal, False, call.request_id) + b"\n\n"
