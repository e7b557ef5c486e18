"""The ASGI application behind the guard: which calls are served directly, and which go to LiteLLM.

The guard (services/requests/guard.py) has checked the key and the body before a call comes here.
"""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from tollgate.services.gateway.call import Call, HandOverError, RefusedError
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue, Model, Protocol
from tollgate.services.gateway.chosen import chosen
from tollgate.services.gateway.counting import Counting
from tollgate.services.gateway.direct import Direct
from tollgate.services.gateway.faults import where
from tollgate.services.gateway.handover import CLIENT_GONE, LiteLLM
from tollgate.services.gateway.inside import Inside
from tollgate.services.gateway.metrics import CONTENT_TYPE, Metrics
from tollgate.services.gateway.own.recent import sentence
from tollgate.services.gateway.own.routes import Own, whole
from tollgate.services.gateway.record import LITELLM, OWN, Record
from tollgate.services.gateway.silence import Answer, stream_begins
from tollgate.services.refusals import door, envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.asgi import Message, Receive, Send
from tollgate.services.requests.credentials import carries
from tollgate.services.requests.fields import shown, unpacked
from tollgate.services.requests.guard import CALLER
from tollgate.services.requests.routes import COUNT_TOKENS, GATEWAYS_OPEN

log = logging.getLogger("tollgate.gateway")

PROTOCOLS = {
    "/v1/messages": Protocol.MESSAGES,
    COUNT_TOKENS: Protocol.MESSAGES,
    "/v1/chat/completions": Protocol.CHAT,
    "/chat/completions": Protocol.CHAT,
}
ALIVE = frozenset({"/health/liveliness", "/health/liveness"})
# The state of this process, for `make status` and `make doctor`. nginx passes no client's request for it.
READY = "/health/readiness"
# The answer if the process stops before it has sent anything.
FAILED = 500


@dataclass
class App:
    """`metrics_key` is what Prometheus must send; empty: nobody gets metrics."""

    catalogue: Catalogue
    direct: Direct
    counting: Counting
    litellm: LiteLLM
    own: Own
    metrics: Metrics
    inside: Inside
    metrics_key: str = field(default="", repr=False)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        if path in ALIVE:
            await whole(send, 200, b"application/json", b'{"status":"ok"}')
        elif path == READY:
            await whole(send, 200, b"application/json", orjson.dumps(self.inside.health()))
        elif path.rstrip("/") == "/metrics":
            await self._metrics(scope, send)
        elif path in GATEWAYS_OPEN:
            await self.own.open(scope, send)
        else:
            await self._recorded(scope, receive, send)

    async def _recorded(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the request. However it ends, it is counted and logged once."""
        caller: Caller = scope[CALLER]
        record = Record.of(scope, caller)
        self.metrics.running += 1
        try:
            await self._serve(scope, receive, send, record)
        finally:
            self.metrics.running -= 1
            record.status = record.status or FAILED
            if record.route == LITELLM and 400 <= record.status != CLIENT_GONE and not record.code:
                self.own.recent.note(caller, record, None)
            elif record.error and record.status == 200:
                self.own.recent.broke_off(caller, record)
            self.metrics.ended(record)
            record.write()

    async def _serve(self, scope: Message, receive: Receive, send: Send, record: Record) -> None:
        body = (await receive()).get("body", b"")
        answer, caller = Answer(send), scope[CALLER]
        try:
            if caller.closed:
                raise RefusedError(_closed(caller))
            if await self.own.answer(scope, caller, answer, record):
                return
            try:
                call = self._call(scope, body, receive, answer, record)
                if scope["path"] == COUNT_TOKENS:
                    await self.counting.serve(call)
                    return
                async with answer.pings(call):
                    await self.direct.serve(call)
            except HandOverError as handed_over:
                record.hand_over(handed_over.reason)
                self.metrics.handed_over(handed_over.reason)
                await self.litellm.answer(scope, body, receive, answer, record, handed_over.counted)
        except RefusedError as refused:
            record.refused(refused.refusal, scope)
            self._note(caller, record, refused.refusal)
            await _refuse(refused, scope, answer)
        except Exception as error:  # noqa: BLE001  whatever it is, the client gets our words
            log.error("request %s: the gateway failed: %s", record.request_id, where(error))
            if answer.began:
                record.error = record.error or type(error).__name__
                raise BrokenOffError from None
            record.refused(_failed(), scope)
            record.error = type(error).__name__
            self._note(caller, record, _failed())
            await _refuse(RefusedError(_failed()), scope, answer)

    def refused_before(self, refusal: Refusal, scope: Message) -> None:
        """The guard refused a request. It is logged if its key is known; nginx's log has the others."""
        if CALLER not in scope:
            self.metrics.refused(refusal.code)
            self.metrics.turned_away(refusal.status, refusal.code)
            return
        record = Record.of(scope, scope[CALLER])
        record.refused(refusal, scope)
        self._note(scope[CALLER], record, refusal)
        self.metrics.turned_away(refusal.status, refusal.code, record.tenant)
        record.write()

    def _note(self, caller: Caller, record: Record, refusal: Refusal) -> None:
        """Count a refusal, and keep it for the log and for the page /usage, unless it is that page's own."""
        record.sentence = sentence(record.status, refusal)
        self.metrics.refused(refusal.code)
        if record.route != OWN:
            self.own.recent.note(caller, record, refusal)

    def _call(self, scope: Message, body: bytes, receive: Receive, send: Send, record: Record) -> Call:
        """Raises HandOverError if only LiteLLM can answer, RefusedError if the caller may not ask this."""
        caller: Caller = scope[CALLER]
        protocol = PROTOCOLS.get(scope["path"]) if scope["method"] == "POST" else None
        parsed = scope["parsed_body"][1] if "parsed_body" in scope else {}
        name, model = self._named(parsed.get("model"), protocol)
        record.model = model.name if model is not None else name if name in self.catalogue.choices else ""
        if protocol is None or not parsed:
            raise HandOverError("route")
        self._check(scope, caller, name, model)
        choice = ""
        if model is None:
            choice, model = name, chosen(self.catalogue, name, caller, parsed, scope)
            name = record.model = model.name
        identity = os.urandom(16).hex()
        fields = (caller, protocol, body, parsed, name, model, record.began, record, choice)
        return Call(identity, scope, receive, send, *fields)

    def _check(self, scope: Message, caller: Caller, name: str, model: Model | None) -> None:
        if caller.reason:
            raise HandOverError(caller.reason)
        if model is None and name not in self.catalogue.choices:
            raise HandOverError("name")
        if model is not None and model.reason:
            raise HandOverError(model.reason)
        if scope["path"] not in caller.routes:
            raise RefusedError(door.route_not_allowed())
        if not caller.may_use(*self.catalogue.names_of(name)):
            raise RefusedError(door.model_not_allowed(caller.tenant, shown(name)))

    def _named(self, name: Any, protocol: Protocol | None) -> tuple[str, Model | None]:
        """The name as the catalogue has it, and its model: None for a `cheapest` choice or a name that it lacks.

        Only the operator can send a name that is no text; LiteLLM answers it.
        """
        if not isinstance(name, str):
            return "", None
        model = self.catalogue.model(name)
        if model is None and name not in self.catalogue.choices and protocol is Protocol.MESSAGES:
            name = unpacked(name)
            model = self.catalogue.model(name)
        return name, model

    async def _metrics(self, scope: Message, send: Send) -> None:
        if carries(scope["headers"], self.metrics_key):
            # With thousands of tenants this takes tens of milliseconds. A thread lets requests go on meanwhile.
            await whole(send, 200, CONTENT_TYPE, await asyncio.to_thread(self.metrics.text))
        else:
            await whole(send, 401, b"application/json", b'{"error":{"message":"metrics need the key of Prometheus"}}')


class BrokenOffError(Exception):
    """uvicorn closes the connection without an end of the answer, as the client must see."""


async def _refuse(refused: RefusedError, scope: Message, send: Send) -> None:
    if refused.events:
        await send(stream_begins(envelopes.request_id(scope)))
        await send({"type": "http.response.body", "body": refused.events})
        return
    for message in envelopes.answer(refused.refusal, scope):
        await send(message)


def _closed(caller: Caller) -> Refusal:
    """The gateway process refuses a closed key itself, because a replica may still have the open key in memory.

    LiteLLM looks first whether the key is blocked, then whether it is expired, then at the tenant. Of a blocked key our
    words there name the suspended tenant. So both routes say the same.
    """
    if caller.suspended and (caller.blocked or not caller.expired_at(datetime.now(UTC))):
        return door.tenant_suspended(caller.tenant, caller.owner)
    whose = f'Key "{caller.key_name}" of tenant "{caller.tenant}"'
    return door.key_revoked(whose) if caller.blocked else door.key_expired(whose, caller.expires)


def _failed() -> Refusal:
    message = "The gateway itself failed. Tell its operator the request id."
    return Refusal(500, "api_error", "gateway_failed", message)
