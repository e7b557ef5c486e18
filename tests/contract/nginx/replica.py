"""A stand-in for a LiteLLM replica, run inside a container: it says what reached it and misbehaves when told to.

A request's `X-Test` header chooses the answer; without one it is a JSON description of the request itself.
    stream       one event, then silence until POST /_release, then the last event (POST /_rearm for the next test)
    hold         no answer while this replica holds (POST /_hold), else the description
    early        401 before any of the body is read, as the guard answers an unknown key
    status:503   that status with a body of its own
Paths under /_ are for the test, which speaks to the container directly; nginx lets none of them through.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

NAME, PORT = os.environ["REPLICA"], int(os.environ.get("PORT", "4000"))
# Headers that LiteLLM adds to its answers, and headers that would control nginx if nginx obeyed them.
HEADERS = {
    "x-litellm-call-id": "call-1",
    "x-litellm-model-group": "test-model",
    "x-litellm-model-id": "internal-model-id",
    "x-litellm-model-api-base": "http://internal-host",
    "x-litellm-version": "1.108.10",
    "x-litellm-key-spend": "12.5",
    "x-litellm-response-cost": "0.01",
    "x-litellm-key-rpm-limit": "60",
    "llm_provider-anthropic-organization-id": "org-internal",
    "anthropic-ratelimit-tokens-remaining": "1",
    "request-id": "the-provider-s-own",
    "server": "uvicorn",
    "X-Accel-Buffering": "yes",
    "X-Accel-Redirect": "/gateway/health",
}


class State:
    """The requests that this replica got, and its behaviour now. `left` counts clients that left during a stream."""

    def __init__(self) -> None:
        self.seen: list[dict[str, object]] = []
        self.left = 0
        self.thrown_away = 0
        self.holding = False
        self.release = asyncio.Event()


state = State()


async def description(request: Request) -> dict[str, object]:
    body = await request.body()
    return {
        "replica": NAME,
        "method": request.method,
        "path": request.scope["raw_path"].decode(),
        "query": request.scope["query_string"].decode(),
        "headers": [[name.decode(), value.decode("latin-1")] for name, value in request.scope["headers"]],
        "body_bytes": len(body),
    }


async def events() -> AsyncIterator[bytes]:
    done, release = False, state.release
    try:
        yield b'event: message_start\ndata: {"type":"message_start"}\n\n'
        await release.wait()
        yield b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        done = True
    finally:
        state.left += not done


class Early(Response):
    """Answers first, and throws away what still comes until the other side closes."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b'{"refused": true}'
        headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": True})
        while (message := await receive())["type"] == "http.request" and message["more_body"]:
            state.thrown_away += len(message["body"])
        await send({"type": "http.response.body", "body": b""})


async def answer(request: Request) -> Response:
    if request.headers.get("x-test") == "early":
        return Early()
    described = await description(request)
    state.seen.append(described)
    wish = request.headers.get("x-test", "")
    if wish == "stream":
        return StreamingResponse(events(), media_type="text/event-stream", headers=HEADERS)
    if wish == "hold" and state.holding:
        await asyncio.Event().wait()
    if wish.startswith("status:"):
        return JSONResponse({"detail": "the replica's own words"}, int(wish.removeprefix("status:")), HEADERS)
    return JSONResponse(described, headers=HEADERS)


async def seen(request: Request) -> Response:
    return JSONResponse({"seen": state.seen, "left": state.left, "thrown_away": state.thrown_away})


async def release(request: Request) -> Response:
    state.release.set()
    return Response()


async def rearm(request: Request) -> Response:
    state.release = asyncio.Event()
    return Response()


async def hold(request: Request) -> Response:
    state.holding = True
    return Response()


routes = [
    Route("/_seen", seen),
    Route("/_release", release, methods=["POST"]),
    Route("/_rearm", rearm, methods=["POST"]),
    Route("/_hold", hold, methods=["POST"]),
    Route("/{path:path}", answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
]

if __name__ == "__main__":
    # Under httptools uvicorn answers in chunks even to HTTP/1.0, and nginx passes chunks on at once. The twin that
    # buffers answers asks with HTTP/1.0.
    like_litellm = {"http": "h11", "loop": "asyncio", "timeout_keep_alive": 90, "access_log": False}
    uvicorn.run(Starlette(routes=routes), host="0.0.0.0", port=PORT, **like_litellm)  # noqa: S104
