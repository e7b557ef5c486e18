"""The ASGI layer that rewrites LiteLLM's errors for Claude Code and the SDKs.

It buffers only the body of an answer with status 400 or above, a few hundred bytes. Other answers pass piece by piece;
in a stream it replaces only LiteLLM's error events. At the end of a request it gives back what the request held
(hooks/held.py).
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.limits.ticket import HEADER, TAKEN_OVER
from tollgate.services.refusals import envelopes
from tollgate.services.refusals.door import malformed
from tollgate.services.replica.refused_log import release
from tollgate.services.replica.request_body import Body
from tollgate.services.replica.wording import MAYBE_THE_REQUEST, refusal_of
from tollgate.services.requests.asgi import Application, Message, Send

Receive = Callable[[], Awaitable[Message]]

# The routes that tenants' clients call. The management API keeps LiteLLM's own errors: `tollgate apply` reads them.
ROUTES = re.compile(
    r"^(?:/v1/messages(?:/count_tokens)?|(?:/v1)?/(?:chat/completions|completions|embeddings|models(?:/[^/]+)?)|/health)$"
)
# After one of these events a client's stream has ended, even if the connection is still open.
_LAST_EVENTS = (b"event: message_stop", b"data: [DONE]", b"event: error")
_LITELLM_ERROR, _ANTHROPIC_ERROR = b'data: {"error"', b"event: error\ndata: "
_OURS = (b"content-length", b"content-type", b"retry-after", b"x-should-retry", b"request-id")
# The provider's own limits concern the gateway's account, not the tenant's.
_PROVIDER_LIMITS = b"anthropic-ratelimit-"


def with_refusals(application: Application) -> Application:
    async def layer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        scope, ongoing = _without_ticket(scope)
        body = Body()
        answer = _Answer(scope, send, ongoing, body)
        token = CURRENT.set(ongoing)

        async def receive_and_keep() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.add(message.get("body", b""))
            return message

        try:
            if ROUTES.match(scope["path"]):
                await application(scope, receive_and_keep, answer.send)
            else:
                await application(scope, receive, send)
        finally:
            CURRENT.reset(token)
            release(ongoing)
            # If the client disconnected or the handler failed. In a task of its own, because this one may be cancelled.
            await asyncio.shield(asyncio.ensure_future(ongoing.answered()))

    return layer


class _Answer:
    """One answer on its way to the client."""

    def __init__(self, scope: Message, send: Send, ongoing: Ongoing, body: Body) -> None:
        self._scope = scope
        self._send = send
        self._body = body
        self._ongoing = ongoing
        self._anthropic = envelopes.is_anthropic(scope["path"])
        self._request_id = envelopes.request_id(scope)
        self._start: Message = {}
        self._held = bytearray()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._start = message["status"], message
            if self.status < 400:
                release(self._ongoing)
                await self._send({**message, "headers": self._headers(message, drop=_OURS[4:])})
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self.status >= 400:
            self._held += message.get("body", b"")
            if not message.get("more_body", False):
                await self._refuse()
        else:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        body = message.get("body", b"")
        if body.startswith(_LITELLM_ERROR) or (self._ongoing.error is not None and body.startswith(_ANTHROPIC_ERROR)):
            body = self._in_a_stream(body)
            message = {**message, "body": body}
        if not message.get("more_body", False) or any(_begins_a_line(body, last) for last in _LAST_EVENTS):
            await self._ongoing.answered()
        await self._send(message)

    async def _refuse(self) -> None:
        refusal = refusal_of(self._ongoing, self.status, _parsed(bytes(self._held)))
        if refusal.code in MAYBE_THE_REQUEST and (problem := self._body.wrong()):
            refusal = malformed(problem)
        release(self._ongoing, refusal)
        await self._ongoing.refused(refusal.counts)
        body = envelopes.body(refusal, self._anthropic, self._request_id)
        headers = self._headers(self._start, drop=_OURS)
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += envelopes.headers(refusal)
        status = envelopes.status(refusal, self._scope)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _in_a_stream(self, frame: bytes) -> bytes:
        """Rewrite LiteLLM's error frame. Without the event's name, Claude Code would see a broken stream and retry."""
        answer = _parsed(frame[frame.index(b"data: ") + len(b"data: ") :].split(b"\n", 1)[0])
        error = answer.get("error") if isinstance(answer, dict) else None
        code = str(error.get("code", "")) if isinstance(error, dict) else ""
        status = int(code) if code.isdigit() else int(getattr(self._ongoing.error, "status_code", None) or 500)
        refusal = refusal_of(self._ongoing, status, answer)
        if self._anthropic:
            return envelopes.event(refusal, self._request_id)
        return b"data: " + envelopes.body(refusal, False, self._request_id) + b"\n\n"

    def _headers(self, message: Message, drop: tuple[bytes, ...]) -> list[tuple[bytes, bytes]]:
        kept = [
            (name, value)
            for name, value in message.get("headers", ())
            if name.lower() not in drop and not name.lower().startswith(_PROVIDER_LIMITS)
        ]
        ours = [(b"request-id", self._request_id.encode())]
        if self._ongoing.taken_over:
            ours.append((TAKEN_OVER, b"1"))
        return [*kept, *ours]


def _without_ticket(scope: Message) -> tuple[Message, Ongoing]:
    """Takes the header of a gateway process out, so that LiteLLM logs and forwards none; the limits hook checks it."""
    headers = list(scope.get("headers", ()))
    ticket = next((value.decode("latin-1") for name, value in headers if name.lower() == HEADER), "")
    kept = [(name, value) for name, value in headers if name.lower() != HEADER]
    return {**scope, "headers": kept}, Ongoing(ticket=ticket)


def _begins_a_line(body: bytes, text: bytes) -> bool:
    """Whether `text` begins a line. JSON escapes line breaks, so a model's text cannot imitate the last event."""
    return body.startswith(text) or b"\n" + text in body


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
