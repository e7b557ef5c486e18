"""The application: requests outside `/_…` are recorded, dialled, logged, and refused in the words of their API, here.

`/_health` and `/_recorded` ask for no key: the provider is reachable only on the stack's internal network.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import operations
from .api_errors import ApiError
from .exchange import Exchange
from .recorder import Recorder

MAX_REQUEST_BYTES = 110 * 2**20  # above what the gateway lets through
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class ReplyIds:
    """A request's hash and a counter: unique, though nothing is random.

    The counter starts at the time the process began (milliseconds), or a restarted provider would hand out the same
    ids again, and a gateway that files spend under them would lose the second of two equal requests.
    """

    def __init__(self, start: int | None = None) -> None:
        self._numbers = itertools.count(time.time_ns() // 1_000_000 if start is None else start)

    def next(self, method: str, path: str, body: bytes) -> str:
        digest = hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()
        return f"{digest[:16]}{next(self._numbers):012x}"


def create_app(recorder: Recorder | None = None, reply_ids: ReplyIds | None = None) -> Starlette:
    records = recorder or Recorder()
    ids = reply_ids or ReplyIds()

    async def serve(request: Request) -> Response:
        path = request.url.path
        headers = {name.lower(): value for name, value in request.headers.items()}
        entry = records.open(request.method, path, request.url.query, request.headers.items())
        exchange = Exchange(operations.api_of(path, headers), entry, headers, b"", "")
        try:
            exchange.raw = await _body(request)
        except ClientDisconnect:
            entry.client_left()
            return Response(status_code=400)
        except ApiError as refusal:
            exchange.reply_id = entry.request_id = ids.next(request.method, path, b"")
            return exchange.refused(refusal)
        records.body(entry, exchange.raw)
        exchange.reply_id = ids.next(request.method, path, exchange.raw)
        entry.request_id = exchange.request_id
        try:
            operation = operations.find(request.method, path)
            operations.check_key(exchange.api, headers)
            return operation(exchange)
        except ApiError as refusal:
            return exchange.refused(refusal)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "recorded": records.seen})

    async def recorded(request: Request) -> Response:
        if request.method == "DELETE":
            return JSONResponse({"deleted": records.clear()})
        limit = request.query_params.get("limit", "100")
        if not limit.isdecimal():
            return JSONResponse({"error": f"limit: expected a whole number, got {limit!r}"}, status_code=400)
        found = records.latest(int(limit), request.query_params.get("path"))
        # Unlike Starlette's own JSON this writes half a surrogate pair, which a broken body may hold, as an escape.
        return Response(json.dumps({"seen": records.seen, "requests": found}), media_type="application/json")

    return Starlette(
        routes=[
            Route("/_health", health, methods=["GET"]),
            Route("/_recorded", recorded, methods=["GET", "DELETE"]),
            Route("/{path:path}", serve, methods=METHODS),
        ]
    )


async def _body(request: Request) -> bytes:
    """The whole body. Raises ApiError (413), and ClientDisconnect if the client leaves while sending it."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_REQUEST_BYTES:
            raise ApiError(413, kind="too_large", headers={"connection": "close"})
        chunks.append(chunk)
    return b"".join(chunks)
