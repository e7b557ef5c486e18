"""Reads the body of a request whose key is known, and checks it: size, encoding, JSON, fields."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import orjson

from tollgate.services.refusals import door
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests import bounds, encoding, fields, routes
from tollgate.services.requests.asgi import Message, Receive
from tollgate.services.requests.holder import Holder
from tollgate.services.requests.room import Room
from tollgate.services.requests.rules import Rules

# Time limit for the whole body. nginx closes a client's connection after a pause of more than a minute.
BODY_S = 300.0
# Up to this size, a body that the strict parser refuses is parsed again. A larger one would delay all requests.
FORGIVEN = 1024 * 1024


class NotAdmittedError(Exception):
    """The client gets `refusal` and nothing else."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Held:
    """The memory of one request's body, taken from the room."""

    def __init__(self, room: Room, tenant: str) -> None:
        self._room, self._tenant, self._size = room, tenant, 0

    def take(self, size: int) -> None:
        if not self._room.has(self._tenant, self._size, size):
            raise NotAdmittedError(door.no_room())
        self._room.take(self._tenant, size)
        self._size += size

    def give_back(self) -> None:
        self._room.give_back(self._tenant, self._size)


async def read(scope: Message, held: Held, receive: Receive, most: int) -> bytes | None:
    """The decoded body, of at most `most` bytes; None if the client disconnected. Raises NotAdmittedError.

    It holds only as much memory as was received.
    """
    kind = encoding.encoding_of(header(scope, b"content-encoding"))
    if kind and kind not in encoding.READ:
        raise NotAdmittedError(door.encoding_unknown())
    length = header(scope, b"content-length")
    if length.isdigit() and int(length[:20]) > most:
        raise NotAdmittedError(door.body_too_large(most))
    try:
        async with asyncio.timeout(BODY_S):
            body = await _received(receive, held, most)
    except TimeoutError as error:
        raise NotAdmittedError(door.body_too_slow(BODY_S)) from error
    if not kind or body is None:
        return body
    try:
        plain = encoding.decoded(body, kind, most)
    except encoding.TooLargeError as error:
        raise NotAdmittedError(door.body_too_large(most)) from error
    except encoding.UnreadableError as error:
        raise NotAdmittedError(door.encoding_unknown()) from error
    held.take(len(plain))
    return plain


def checked(scope: Message, known: Holder, body: bytes, rules: Rules) -> dict[str, Any] | None:
    """The parsed body of a call to a model; None for other routes, where LiteLLM reads the body itself.

    Raises NotAdmittedError.
    """
    api = routes.api_of(scope["path"])
    most = rules.bounds.values
    too_many = NotAdmittedError(door.malformed(f"the body: expected at most {most} values"))
    counted = api is None or len(body) > bounds.COUNTED_AFTER
    if counted and bounds.too_many_values(body, most):
        raise too_many
    if api is None:
        return None
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not counted and bounds.too_many_values(body, most):
            raise too_many from error
        parsed = _forgiven(body, error)
    # Each value has at least one byte.
    if not counted and len(body) > most and bounds.has_more_values(parsed, most):
        raise too_many
    if bounds.too_deep(parsed, rules.bounds.depth):
        raise NotAdmittedError(door.malformed("the body: expected less nesting"))
    problem = fields.problem(parsed, completions=api is routes.Api.COMPLETIONS, orders=known.operator)
    if problem:
        raise NotAdmittedError(door.malformed(problem))
    unknown = fields.unknown_model(parsed, rules.models, claude_code=api is routes.Api.MESSAGES)
    # The operator may call one target by its id; `tollgate models test` does that.
    if unknown is not None and not known.operator:
        raise NotAdmittedError(door.model_not_allowed(known.tenant, fields.shown(unknown)))
    return fields.taken_out(parsed)


async def _received(receive: Receive, held: Held, most: int) -> bytes | None:
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece = message.get("body", b"")
        size += len(piece)
        if size > most:
            raise NotAdmittedError(door.body_too_large(most))
        held.take(len(piece))
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _forgiven(body: bytes, error: Exception) -> Any:
    """LiteLLM's second, tolerant parser. Half surrogate pairs are refused."""
    if len(body) > FORGIVEN:
        raise NotAdmittedError(door.malformed("the body: expected JSON")) from error
    try:
        parsed = json.loads(body.decode())
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as second:
        raise NotAdmittedError(door.malformed("the body: expected JSON")) from second
    return parsed


def header(scope: Message, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), "")
