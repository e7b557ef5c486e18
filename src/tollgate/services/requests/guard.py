"""The outermost layer of a replica and of a gateway process: the key before the body, then the whole request.

LiteLLM itself reads the whole body before it checks the key, stores a row for each invented key, and obeys options in
a client's body. The guard checks in this order: headers, key, size, JSON, fields (reading.py has the last three). The
application behind it gets the parsed body, so it acts on exactly the checked values.
"""

from __future__ import annotations

from collections.abc import Callable

from tollgate.services.refusals import door
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.requests import credentials, reading, routes
from tollgate.services.requests.addresses import Strangers
from tollgate.services.requests.asgi import (
    Application,
    Incoming,
    Message,
    Receive,
    Send,
    again,
    lingering,
    nothing,
    refuse,
)
from tollgate.services.requests.holder import FindsKeys, Holder, KeysAwayError
from tollgate.services.requests.reading import Held, NotAdmittedError
from tollgate.services.requests.room import TOTAL, Room
from tollgate.services.requests.rules import Rules

_NO_BODY = ("GET", "HEAD", "OPTIONS")
# LiteLLM also obeys headers. nginx removes those that it knows by name; the guard removes them by prefix.
_ORDERS = (b"x-litellm-", b"litellm-", b"llm_provider-")
# Where the application behind the guard finds whose key it was.
CALLER = "tollgate.caller"


class Guard:
    """The ASGI application around another: LiteLLM, or that of a gateway process (`gateway`).

    `refused` is told of each refusal, for metrics.
    """

    def __init__(
        self,
        application: Application,
        keys: FindsKeys,
        rules: Rules,
        strangers: Strangers | None = None,
        room: Room | None = None,
        refused: Callable[[Refusal, Message], None] | None = None,
        gateway: bool = False,
    ) -> None:
        self._application, self._keys, self._rules = application, keys, rules
        self._strangers = strangers or Strangers()
        self._room = room or Room(max(TOTAL, 4 * rules.bounds.body))
        self._told = refused or (lambda refusal, scope: None)
        self._gateway = gateway

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        if scope["path"] in (routes.OPEN | routes.GATEWAYS_OPEN if self._gateway else routes.OPEN):
            await self._application(scope, nothing(receive), send)
            return
        incoming = Incoming(receive)
        if not self._gateway and scope["path"] in routes.GATEWAYS:
            await self._refuse(door.gateways_away(), scope, incoming, send)
            return
        try:
            key, known = await self._admit(scope)
        except NotAdmittedError as refused:
            await self._refuse(refused.refusal, scope, incoming, send)
            return
        scope = {**scope, "headers": credentials.with_key(scope["headers"], key), CALLER: known}
        if scope["method"] in _NO_BODY or known.closed:
            # The application refuses a closed key itself, and needs no body for that.
            await self._application(_as_client(scope, known), nothing(incoming), lingering(incoming, send))
            return
        await self._with_body(scope, known, incoming, send)

    async def _refuse(self, refusal: Refusal, scope: Message, receive: Incoming, send: Send) -> None:
        self._told(refusal, scope)
        await refuse(refusal, scope, receive, send)

    async def _admit(self, scope: Message) -> tuple[str, Holder]:
        """The key and its holder. It queries the database only if this address has not sent too many unknown keys."""
        address = _address(scope)
        wait = self._strangers.wait(address)
        try:
            for key in credentials.candidates(scope["headers"]):
                known = await self._keys.find(key, remembered=wait > 0)
                if known is not None:
                    if not known.operator and not routes.for_tenants(scope["method"], scope["path"]):
                        raise NotAdmittedError(door.route_not_allowed())
                    return key, known
        except KeysAwayError as error:
            raise NotAdmittedError(door.keys_away()) from error
        if not credentials.carried(scope["headers"]):
            raise NotAdmittedError(door.key_missing())
        if wait:
            raise NotAdmittedError(door.too_many_strangers(wait))
        self._strangers.failed(address)
        raise NotAdmittedError(door.key_unknown())

    async def _with_body(self, scope: Message, known: Holder, receive: Incoming, send: Send) -> None:
        held = Held(self._room, known.tenant)
        try:
            try:
                body = await reading.read(scope, held, receive, self._rules.bounds.body)
                parsed = None if body is None else reading.checked(scope, known, body, self._rules)
            except NotAdmittedError as refused:
                await self._refuse(refused.refusal, scope, receive, send)
                return
            if body is None:
                return  # the client went away
            scope = _as_client(_with_length(scope, len(body)), known)
            if parsed is not None:
                # LiteLLM reads this first, so it acts on the checked values and does not parse the body again.
                scope["parsed_body"] = (tuple(parsed), parsed)
            await self._application(scope, again(body, receive), send)
        finally:
            held.give_back()


def _as_client(scope: Message, known: Holder) -> Message:
    """The scope without headers that LiteLLM would obey. The operator may send them."""
    if known.operator:
        return dict(scope)
    kept = [pair for pair in scope["headers"] if not pair[0].lower().startswith(_ORDERS)]
    return {**scope, "headers": kept}


def _with_length(scope: Message, size: int) -> Message:
    """The scope with headers that match the decoded body. For a call to a model its type is JSON."""
    dropped = {b"content-encoding", b"content-length", b"transfer-encoding"}
    added = [(b"content-length", str(size).encode())]
    if routes.api_of(scope["path"]) is not None:
        dropped.add(b"content-type")
        added.append((b"content-type", b"application/json"))
    return {**scope, "headers": [pair for pair in scope["headers"] if pair[0].lower() not in dropped] + added}


def _address(scope: Message) -> str:
    """The client's address from nginx; without nginx, that of the connection."""
    client = scope.get("client") or ("", 0)
    return reading.header(scope, b"x-forwarded-for").rpartition(",")[2].strip() or str(client[0])
