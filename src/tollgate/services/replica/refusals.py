"""The ASGI layer that every refusal passes: LiteLLM's errors become what Claude Code and the SDKs act on.

It holds back only the body of an answer of status 400 and above, a few hundred bytes; what succeeds passes piece by
piece as it comes, except for an error of LiteLLM's inside a stream. It is also where a
request ends, and so where it gives back what it held (hooks/ongoing.py).
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from tollgate.services.hooks.ongoing import CURRENT, Ongoing
from tollgate.services.replica import envelopes
from tollgate.services.replica.headers import Application, Message, Send
from tollgate.services.replica.shape import Body
from tollgate.services.replica.wording import MAYBE_THE_REQUEST, malformed, refusal_of

Receive = Callable[[], Awaitable[Message]]

# What a tenant's client calls. The management API keeps LiteLLM's own errors: `tollgate apply` reads them.
ROUTES = re.compile(
    r"^(?:/v1/messages(?:/count_tokens)?|(?:/v1)?/(?:chat/completions|completions|embeddings|models(?:/[^/]+)?)|/health)$"
)
# A stream has ended for its reader when it sees one of these, before the connection says so.
_LAST_EVENTS = (b"event: message_stop", b"data: [DONE]", b"event: error")
_LITELLM_ERROR, _ANTHROPIC_ERROR = b'data: {"error"', b"event: error\ndata: "
_OURS = (b"content-length", b"content-type", b"retry-after", b"x-should-retry", b"request-id")
# The provider's own limits are for the gateway's account, and say nothing of a tenant's.
_PROVIDER_LIMITS = b"anthropic-ratelimit-"
_NO_REQUEST_ID = re.compile(r"[^A-Za-z0-9._-]")


def with_refusals(application: Application) -> Application:
    async def layer(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        ongoing = Ongoing()
        body = Body()
        answer = _Answer(scope, send, ongoing, body)
        token = CURRENT.set(ongoing)

        async def kept() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                body.add(message.get("body", b""))
            return message

        try:
            if ROUTES.match(scope["path"]):
                await application(scope, kept, answer.send)
            else:
                await application(scope, receive, send)
        finally:
            CURRENT.reset(token)
            # A client that went away, or a handler that failed. On its own, since this task may be being cancelled.
            await asyncio.shield(asyncio.ensure_future(ongoing.finish()))

    return layer


class _Answer:
    """One answer on its way out."""

    def __init__(self, scope: Message, send: Send, ongoing: Ongoing, body: Body) -> None:
        self._send = send
        self._body = body
        self._ongoing = ongoing
        self._anthropic = envelopes.is_anthropic(scope["path"])
        self._request_id = _request_id(scope)
        self._start: Message = {}
        self._held = bytearray()
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self._start = message["status"], message
            if self.status < 400:
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
            await self._ongoing.finish()
        await self._send(message)

    async def _refuse(self) -> None:
        refusal = refusal_of(self._ongoing, self.status, _parsed(bytes(self._held)))
        if refusal.code in MAYBE_THE_REQUEST and (wrong := self._body.wrong()):
            refusal = malformed(wrong)
        await self._ongoing.finish(refund=not refusal.counts)
        body = envelopes.body(refusal, self._anthropic, self._request_id)
        headers = self._headers(self._start, drop=_OURS)
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += envelopes.headers(refusal)
        status = envelopes.status(refusal, self._anthropic)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _in_a_stream(self, frame: bytes) -> bytes:
        """LiteLLM's error frame. Without the event's name Claude Code takes it for a broken stream and asks again."""
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
        return [*kept, (b"request-id", self._request_id.encode())]


def _request_id(scope: Message) -> str:
    """nginx's, so that its log, ours and the client have the same one."""
    sent = next((value for name, value in scope.get("headers", ()) if name == b"x-request-id"), b"")
    return _NO_REQUEST_ID.sub("", sent.decode("latin-1"))[:128] or uuid.uuid4().hex


def _begins_a_line(body: bytes, text: bytes) -> bool:
    """Inside JSON a line break is written \\n, so what a model says cannot look like the end of its stream."""
    return body.startswith(text) or b"\n" + text in body


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
