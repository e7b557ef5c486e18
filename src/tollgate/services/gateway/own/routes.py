"""The routes that a gateway process answers itself. Everything else is a call to a model, or LiteLLM's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from tollgate.ledger.summary import Summary
from tollgate.services.gateway.call import RefusedError
from tollgate.services.gateway.caller import Caller
from tollgate.services.gateway.catalogue import Catalogue
from tollgate.services.gateway.own import asks, files, models, polls, usage
from tollgate.services.gateway.own.recent import Recent
from tollgate.services.gateway.question import LedgerAwayError
from tollgate.services.gateway.record import OWN, Record
from tollgate.services.limits.limiter import Limiter
from tollgate.services.refusals import door, envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests.asgi import Message, Send
from tollgate.services.requests.reading import header
from tollgate.services.requests.routes import CONSOLE, GREETING, USAGE

LISTS = frozenset({"/v1/models", "/models"})
# Its calls through Anthropic's SDK, and its own, such as the one for the list of models.
_CLAUDE_CODE = (envelopes.CLAUDE_CODE, "claude-code/")
_READS = frozenset({"GET", "HEAD"})
_JSON = b"application/json"
_NO_STORE = ((b"cache-control", b"no-store"),)


@dataclass
class Own:
    """`ask` gets a tenant's figures from the ledger, or raises LedgerAwayError. `console` answers a path of CONSOLE."""

    catalogue: Catalogue
    limiter: Limiter
    ask: Callable[[str], Awaitable[Summary]]
    recent: Recent
    console: Callable[[str], Awaitable[dict[str, Any]]]
    polls: polls.Polls = field(default_factory=polls.Polls)
    page: dict[str, files.File] = field(default_factory=files.read)

    async def open(self, scope: Message, send: Send) -> None:
        """A route without a key: a file of the page, or the greeting."""
        path = scope["path"]
        if scope["method"] not in _READS:
            refusal = Refusal(405, "invalid_request_error", "method_not_allowed", "This route only accepts GET.")
            for message in envelopes.answer(refusal, scope):
                await send(message)
        elif path == GREETING:
            await whole(send, 200, _JSON, b'{"message": "hello"}', *_NO_STORE)
        else:
            file = self.page[path]
            await whole(send, 200, file.kind, file.content, *files.HEADERS)

    async def answer(self, scope: Message, caller: Caller, send: Send, record: Record) -> bool:
        """Whether this was one of our own routes; then it is answered. Raises RefusedError."""
        path = scope["path"]
        if scope["method"] not in _READS:
            return False
        if path == USAGE:
            record.route = OWN
            content = await self._usage(caller)
        elif path in CONSOLE:
            record.route = OWN
            if not caller.operator:
                raise RefusedError(door.route_not_allowed())
            content = await self.console(path)
        elif _lists(path) and not caller.operator and caller.reason != "foreign_key":
            record.route = OWN
            answered = self._models(path, caller, claude_code=header(scope, b"user-agent").startswith(_CLAUDE_CODE))
            if answered is None:
                await _not_found(scope, send, record)
                return True
            content = answered
        else:
            return False
        record.status = 200
        await whole(send, 200, _JSON, orjson.dumps(content), *_NO_STORE, *_named(scope))
        return True

    def _models(self, path: str, caller: Caller, *, claude_code: bool) -> dict[str, Any] | None:
        if "/v1/models" not in caller.routes:
            raise RefusedError(door.route_not_allowed())
        if path in LISTS:
            return models.listing(self.catalogue, caller, claude_code=claude_code)
        return models.one(self.catalogue, caller, _name(path))

    async def _usage(self, caller: Caller) -> dict[str, Any]:
        if caller.operator or not caller.tenant:
            raise RefusedError(_tenant_only())
        if wait := self.polls.wait(caller.tenant):
            raise RefusedError(polls.too_often(wait))
        try:
            summary = await self.ask(caller.tenant)
        except LedgerAwayError:
            raise RefusedError(asks.ledger_away()) from None
        used = await self.limiter.look(caller.rules, summary.now)
        counted = dict(zip(caller.rules, used, strict=True))
        refusals = await self.recent.read(caller)
        return usage.answer(usage.Seen(caller, self.catalogue, summary, counted, refusals))


async def whole(send: Send, status: int, kind: bytes, text: bytes, *more: tuple[bytes, bytes]) -> None:
    """One whole answer. uvicorn leaves the body out for HEAD."""
    headers = [(b"content-type", kind), (b"content-length", str(len(text)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def _lists(path: str) -> bool:
    return path in LISTS or path.startswith(("/v1/models/", "/models/"))


def _name(path: str) -> str:
    return path.removeprefix("/v1").removeprefix("/models/")


def _named(scope: Message) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"request-id", envelopes.request_id(scope).encode()),)


async def _not_found(scope: Message, send: Send, record: Record) -> None:
    """In the shape of the API that the client speaks. Only Anthropic's clients send a version."""
    refusal = models.unknown(_name(scope["path"]))
    record.code, record.status = refusal.code, 404
    anthropic = any(name == b"anthropic-version" for name, _ in scope["headers"])
    text = envelopes.body(refusal, anthropic, envelopes.request_id(scope))
    await whole(send, 404, _JSON, text, *envelopes.headers(refusal), *_NO_STORE, *_named(scope))


def _tenant_only() -> Refusal:
    message = "This key has no tenant. The operator reads every tenant's usage with `tollgate tenant usage`."
    return Refusal(403, "permission_error", "tenant_only", message)
