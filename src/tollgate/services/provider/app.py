"""The application. It records and logs requests outside `/_…`, and sends errors in the form of their API.

`/_health` and `/_recorded` need no key. `/_recorded` shows prompts, so it exists only in a provider that was started
for tests; other providers record nothing.
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

from tollgate.services.provider import operations
from tollgate.services.provider.api_errors import ApiError
from tollgate.services.provider.exchange import Exchange
from tollgate.services.provider.recorder import Recorder

MAX_REQUEST_BYTES = 110 * 2**20  # above the gateway's own limit
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class ReplyIds:
    """Unique ids without randomness: a request's hash and a counter.

    The counter starts at the start time of the process (milliseconds). Otherwise a restarted provider would repeat ids,
    and a gateway that stores spend by id would lose the second of two equal requests.
    """

    def __init__(self, start: int | None = None) -> None:
        self._numbers = itertools.count(time.time_ns() // 1_000_000 if start is None else start)

    def next(self, method: str, path: str, body: bytes) -> str:
        digest = hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()
        return f"{digest[:16]}{next(self._numbers):012x}"


def create_app(
    recorder: Recorder | None = None, reply_ids: ReplyIds | None = None, *, under_test: bool = False
) -> Starlette:
    """With `under_test` it obeys dials and shows recorded requests to every client."""
    records = recorder or (Recorder() if under_test else Recorder(max_entries=0))
    ids = reply_ids or ReplyIds()

    async def serve(request: Request) -> Response:
        path = request.url.path
        headers = {name.lower(): value for name, value in request.headers.items()}
        entry = records.open(request.method, path, request.url.query, request.headers.items())
        exchange = Exchange(operations.api_of(path, headers), entry, headers, b"", "", under_test=under_test)
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
        return JSONResponse({"status": "ok"} | ({"recorded": records.seen} if under_test else {}))

    async def recorded(request: Request) -> Response:
        if request.method == "DELETE":
            return JSONResponse({"deleted": records.clear()})
        limit = request.query_params.get("limit", "100")
        if not limit.isdecimal():
            return JSONResponse({"error": f"limit: expected a whole number, got {limit!r}"}, status_code=400)
        entries = records.latest(int(limit), request.query_params.get("path"))
        # A broken body can contain half a surrogate pair. This writes it as an escape; Starlette's JSON would fail.
        return Response(json.dumps({"seen": records.seen, "requests": entries}), media_type="application/json")

    shown = [Route("/_recorded", recorded, methods=["GET", "DELETE"])] if under_test else []
    return Starlette(
        routes=[
            Route("/_health", health, methods=["GET"]),
            *shown,
            Route("/{path:path}", serve, methods=METHODS),
        ]
    )


async def _body(request: Request) -> bytes:
    """The whole body. Raises ApiError (413), and ClientDisconnect if the client disconnects while it sends."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_REQUEST_BYTES:
            raise ApiError(413, kind="too_large", headers={"connection": "close"})
        chunks.append(chunk)
    return b"".join(chunks)
