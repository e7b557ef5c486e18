"""One call to one target: the request in the target's protocol, and its answer in the client's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from typing import Protocol as Interface

import aiohttp
import orjson

from tollgate.services.gateway import body, bounded
from tollgate.services.gateway.call import Call, HandOverError
from tollgate.services.gateway.catalogue import Model, Protocol, Target
from tollgate.services.gateway.convert import answer as chat_answer
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError
from tollgate.services.gateway.ledger import stated
from tollgate.services.gateway.ledger import usage as ledger_usage
from tollgate.services.gateway.ledger.usage import Bounds, Estimate, Tool, Usage
from tollgate.services.gateway.metrics import ANSWER
from tollgate.services.gateway.outgoing import FailedError, not_converted, protocol_for, request_body
from tollgate.services.gateway.passing import PassedChat, PassedMessages
from tollgate.services.gateway.upstream import call as upstream_call
from tollgate.services.gateway.upstream import failure
from tollgate.services.gateway.upstream.call import NoAnswerError
from tollgate.services.gateway.upstream.client import Upstreams, beginning, pieces_of, whole
from tollgate.services.gateway.upstream.failure import Failure
from tollgate.services.requests import paid_tools

# No whole answer is larger.
ANSWER_BYTES = 64 * 1024 * 1024
# Where the two APIs count what was written.
_OUTPUT_COUNTS = ("output_tokens", "completion_tokens")


class Stream(Interface):
    """Turns an upstream's bytes into the client's. `started`: something may be sent; `over`: the answer is complete."""

    @property
    def failed(self) -> str | None: ...
    @property
    def started(self) -> bool: ...
    @property
    def over(self) -> bool: ...
    @property
    def characters(self) -> int: ...
    @property
    def counted(self) -> Any: ...
    @property
    def stop_reason(self) -> str | None: ...

    def feed(self, data: bytes) -> bytes: ...
    def end(self) -> bytes: ...


@dataclass
class Exchange:
    """An answer whose headers are here, with status 200. `first` is what the client gets at once; with `stream` None it
    is the whole answer."""

    target: Target
    model: Model
    answer: aiohttp.ClientResponse
    stream: Stream | None
    speaks: Protocol
    characters_in: int
    # Of the request, and of a whole answer, for the tools that the upstream ran.
    request: Mapping[str, Any]
    first: bytes = b""
    figures: Any = None
    content: Any = None

    def usage(self) -> Usage:
        """The usage of the call so far, as the upstream counted it, within bounds; otherwise as we counted."""
        usage = self._tokens()
        if not self.model.tool_prices or self.speaks is not Protocol.MESSAGES:
            return usage
        return replace(usage, tools=tuple(self._tools(self.model.tool_prices)))

    @property
    def counted(self) -> bool:
        """Whether the upstream told a count of tokens."""
        figures = self.figures if self.stream is None else self.stream.counted
        return isinstance(figures, Mapping) and any(
            isinstance(figures.get(name), int) and figures[name] > 0 for name in _OUTPUT_COUNTS
        )

    def _tools(self, prices: paid_tools.Prices) -> Iterator[Tool]:
        stream = self.stream
        figures = self.figures if stream is None else stream.counted
        said = figures.get("server_tool_use") if isinstance(figures, Mapping) else None
        seen = paid_tools.called(self.content) if stream is None else getattr(stream, "tools", ())
        ended = stream is None or stream.stop_reason is not None
        for name, uses in paid_tools.used(said, seen, self.request, prices, ended=ended).items():
            yield Tool(name, uses, prices[name])

    def _tokens(self) -> Usage:
        # A whole answer that was given up has no `first`.
        whole = len(self.first) or self.answer.content.total_bytes
        out = self.stream.characters if self.stream is not None else whole
        seen = Estimate(self.characters_in, out)
        bounds = Bounds.of(self.model.context_tokens, self.model.max_output_tokens, self.characters_in, out)
        read = ledger_usage.anthropic if self.speaks is Protocol.MESSAGES else ledger_usage.openai
        if self.stream is None:
            return read(self.figures, seen, bounds)
        usage = read(self.stream.counted, seen, bounds)
        if self.stream.stop_reason is None and usage.output < seen.output:
            # Before its end a stream has no final figure: message_start says one token of output.
            return replace(usage, output=min(seen.output, bounds.output), estimated=True)
        return usage


async def begin(
    call: Call,
    model: Model,
    target: Target,
    upstreams: Upstreams,
    credentials: Mapping[str, str],
    began: Callable[[Exchange], None],
) -> Exchange:
    """Ask `target`, and wait until there is something to send. Raises FailedError or HandOverError.

    `began` gets the answer before that, as soon as a 200 is here: if the answer is given up, it is booked.
    """
    speaks = protocol_for(call, target)
    if speaks is None:
        raise HandOverError("protocol")
    sent = request_body(call, model, target, speaks)
    headers = upstream_call.headers(target, speaks, credentials.get(target.key, ""), call.scope["headers"])
    try:
        with call.record.waiting():
            answer = await upstreams.post(target.urls[speaks], sent, headers, target.timeout_s, target.retries)
    except NoAnswerError as error:
        raise FailedError(failure.no_answer(error.kind, reached=error.sent)) from error
    try:
        await _check_status(call, speaks, answer)
        stream = _stream(call, speaks) if call.streams else None
        exchange = Exchange(target, model, answer, stream, speaks, call.characters_read(model), call.parsed)
        began(exchange)
        await _begin(call, exchange)
        return exchange
    except BaseException:  # also if the client left: then nobody needs the rest of the upstream's answer
        answer.close()
        raise


async def _check_status(call: Call, speaks: Protocol, answer: aiohttp.ClientResponse) -> None:
    if answer.status >= 400:
        with call.record.waiting():
            text = await beginning(answer)
        native = speaks is Protocol.MESSAGES
        raise FailedError(failure.of_status(answer.status, answer.headers, text, native=native))


async def _begin(call: Call, exchange: Exchange) -> None:
    try:
        if exchange.stream is not None:
            await _first_of_stream(call, exchange, exchange.stream)
        else:
            await _whole_answer(call, exchange)
    except NoAnswerError as error:
        raise FailedError(failure.no_answer(error.kind, billed=True)) from error
    except UpstreamFailedError as failed:
        raise FailedError(failure.of_stream(failed)) from failed
    except (FailedError, HandOverError):
        raise
    except Exception as error:  # a fault of ours in reading this answer; LiteLLM may read it
        raise not_converted(call, ANSWER, error) from error


async def _first_of_stream(call: Call, exchange: Exchange, stream: Stream) -> None:
    """Comments and pings of the upstream do not begin an answer, so they do not make its first byte later."""
    first: list[bytes] = []
    try:
        async with asyncio.timeout(exchange.target.timeout_s):
            pieces = pieces_of(exchange.answer)
            while not (stream.started or stream.failed):
                with call.record.waiting():
                    data = await anext(pieces, None)
                if data is None:
                    first.append(stream.end())
                    break
                first.append(stream.feed(data))
    except TimeoutError as error:
        raise NoAnswerError("timeout") from error
    if not stream.started:
        raise FailedError(_failure_of(stream, b"".join(first)))
    exchange.first = b"".join(first)


def _stream(call: Call, speaks: Protocol) -> Stream:
    if speaks is not call.protocol:
        return ChatStream(
            request=call.parsed,
            model=call.name,
            message_id=f"msg_{call.id}",
            estimate=call.input_tokens,
            loads=bounded.loads,
        )
    if speaks is Protocol.MESSAGES:
        return PassedMessages()
    options = call.parsed.get("stream_options")
    wanted = isinstance(options, dict) and options.get("include_usage") is True
    return PassedChat(wanted_usage=wanted, answers=call.parsed.get("n") or 1)


def _failure_of(stream: Stream, events: bytes) -> Failure:
    if isinstance(stream, ChatStream) and stream.failure is not None:
        return failure.of_stream(stream.failure)
    error = getattr(stream, "error", None)
    if error is None:
        return failure.no_answer(str(stream.failed or "empty"), billed=True)
    native = isinstance(stream, PassedMessages)
    failed = failure.of_status(529, {}, orjson.dumps(error), native=native)
    return replace(failed, events=events) if native and failed.kind == "status_529" else failed


async def _whole_answer(call: Call, exchange: Exchange) -> None:
    speaks = exchange.speaks
    with call.record.waiting():
        text = await whole(exchange.answer, ANSWER_BYTES)
    parsed = chat_answer.parse(text, bounded.loads)
    if not isinstance(parsed, dict):
        raise UpstreamFailedError("unreadable")
    exchange.figures = stated.of_answer(parsed) if speaks is Protocol.CHAT else parsed.get("usage")
    exchange.content = parsed.get("content")
    if speaks is not call.protocol:
        text = body.encoded(
            chat_answer.to_messages(
                parsed,
                request=call.parsed,
                model=call.name,
                message_id=f"msg_{call.id}",
                estimate=call.input_tokens,
                loads=bounded.loads,
            )
        )
    elif parsed.get("error") or parsed.get("type") == "error" or parsed.get("object") == "error":
        raise FailedError(failure.of_status(529, {}, text, native=speaks is Protocol.MESSAGES))
    elif not isinstance(parsed.get("choices" if speaks is Protocol.CHAT else "content"), list):
        raise UpstreamFailedError("no_choices")
    exchange.first = text
