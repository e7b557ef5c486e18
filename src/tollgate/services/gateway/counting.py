"""Answers `POST /v1/messages/count_tokens`: a target that speaks Messages counts, and its answer passes as it came.

The target gets what it would get on /v1/messages: every field, the version, the betas. A count costs nothing. So it
takes from no limit, and the journal has no line of it. LiteLLM counts only if no target of the model can: its handler
leaves fields out, and sends a version and betas of its own.

No fallback is asked, because another model counts with another tokenizer. A count obeys the rests of targets, but
neither begins nor ends one: providers limit counting apart from answering. So the figures of targets leave counts out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from tollgate.services.choice.choose import ANSWERED
from tollgate.services.gateway import targets
from tollgate.services.gateway.asking import Asking, log_failure
from tollgate.services.gateway.booking import CLIENT_LEFT
from tollgate.services.gateway.call import Call, HandOverError, RefusedError
from tollgate.services.gateway.catalogue import Protocol, Target
from tollgate.services.gateway.convert import answer as chat_answer
from tollgate.services.gateway.convert.upstream_error import UpstreamFailedError
from tollgate.services.gateway.handover import CLIENT_GONE
from tollgate.services.gateway.leaving import until_left
from tollgate.services.gateway.outgoing import FailedError, request_body
from tollgate.services.gateway.own.routes import whole as send_whole
from tollgate.services.gateway.record import COUNT
from tollgate.services.gateway.upstream import blame, failure
from tollgate.services.gateway.upstream import call as upstream_call
from tollgate.services.gateway.upstream.call import NoAnswerError
from tollgate.services.gateway.upstream.client import beginning, whole
from tollgate.services.gateway.upstream.failure import Failure

# Why LiteLLM counts, if no target of the model can.
REASON = "count_tokens"
ANSWER_BYTES = 256 * 1024
# A server without the route is asked again after this time. Its operator may have upgraded it.
ASK_AGAIN_S = 600.0
_NO_ROUTE = frozenset({404, 405, 501})


class _CannotCountError(Exception):
    """The target's server does not have the route."""


@dataclass
class Counting:
    """`asking` lends its connections, credentials and cool-downs. `clock` is in seconds."""

    asking: Asking
    clock: Callable[[], float] = time.monotonic
    # Targets whose server has no such route, with the time at which they are asked again.
    _unable: dict[str, float] = field(default_factory=dict)

    async def serve(self, call: Call) -> None:
        """Answer the call. Raises RefusedError, or HandOverError if no target can count; then nothing was sent."""
        call.record.route = COUNT
        if not await until_left(call.receive, self._serve(call)):
            call.record.status, call.record.error = CLIENT_GONE, CLIENT_LEFT

    async def _serve(self, call: Call) -> None:
        text = await self._count(call)
        call.record.status = 200
        call.record.first_byte_now()
        told = [(b"request-id", call.request_id.encode())]
        told += [(ANSWERED.encode(), call.model.name.encode())] if call.choice else []
        await send_whole(call.send, 200, b"application/json", text, *told)

    async def _count(self, call: Call) -> bytes:
        """The body of the first answer. Raises RefusedError with what the last target said, or HandOverError."""
        failed: Failure | None = None
        for target in targets.in_turn(self._able(call), self.asking.cooldowns, self.asking.chance):
            try:
                text = await self._ask(call, target)
            except _CannotCountError:
                self._unable[target.id] = self.clock() + ASK_AGAIN_S
            except FailedError as error:
                failed, call.record.target = error.failure, target.id
                log_failure(call, target, failed)
                if failed.final:
                    break
            else:
                call.record.target = target.id
                return text
        if failed is None:
            raise HandOverError(REASON)
        raise RefusedError(failed.refusal)

    def _able(self, call: Call) -> list[Target]:
        now = self.clock()
        return [
            target
            for target in call.model.targets
            if Protocol.MESSAGES in target.urls and self._unable.get(target.id, now) <= now
        ]

    async def _ask(self, call: Call, target: Target) -> bytes:
        """The body of the target's answer. Raises FailedError or _CannotCountError."""
        try:
            # The whole answer is one small figure, so this bounds all of it.
            async with asyncio.timeout(target.timeout_s):
                return await self._asked(call, target)
        except TimeoutError as error:
            raise FailedError(failure.no_answer("timeout")) from error
        except NoAnswerError as error:
            raise FailedError(failure.no_answer(error.kind, reached=error.sent)) from error
        except UpstreamFailedError as failed:
            raise FailedError(failure.of_stream(failed)) from failed

    async def _asked(self, call: Call, target: Target) -> bytes:
        speaks, asking = Protocol.MESSAGES, self.asking
        sent = request_body(call, call.model, target, speaks)
        credential = asking.credentials.get(target.key, "")
        headers = upstream_call.headers(target, speaks, credential, call.scope["headers"])
        url = f"{target.urls[speaks]}/count_tokens"
        with call.record.waiting():
            answer = await asking.upstreams.post(url, sent, headers, target.timeout_s, target.retries)
            try:
                if answer.status < 400:
                    text = await whole(answer, ANSWER_BYTES)
                    answer.release()
                    return _checked(text)
                text = await beginning(answer)
            finally:
                answer.close()  # changes nothing after the release
        if answer.status in _NO_ROUTE and not _has_the_route(answer.status, text, target):
            raise _CannotCountError
        raise FailedError(failure.of_status(answer.status, answer.headers, text, native=True))


def _has_the_route(status: int, text: bytes, target: Target) -> bool:
    """Whether a 404 is about the model, whose name it then has, or about the request, such as a file that is not there.

    A tenant can cause such an error. It must not end the counting of all others.
    """
    return status == 404 and (target.model.encode() in text or blame.in_anthropics_shape(text))


def _checked(text: bytes) -> bytes:
    """`text` if it is an answer. Raises FailedError or UpstreamFailedError."""
    answer = chat_answer.parse(text, orjson.loads)
    if not isinstance(answer, dict):
        raise UpstreamFailedError("unreadable")
    if answer.get("error") or answer.get("type") == "error":
        raise FailedError(failure.of_status(529, {}, text, native=True))
    tokens = answer.get("input_tokens")
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
        raise UpstreamFailedError("unreadable")
    return text
