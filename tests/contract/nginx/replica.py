"""A stand-in for a LiteLLM replica, run inside a container: it says what reached it and misbehaves when told to.

A request's `X-Test` header chooses the answer; without one it is a JSON description of the request itself.
    stream       one event, then silence until POST /_release, then the last event (POST /_rearm for the next test)
    hold         no answer while this replica holds (POST /_hold), else the description
    status:503   that status with a body of its own
Paths under /_ are for the test, which speaks to the container directly; nginx lets none of them through.
"""

import asyncio
import os
from collections.abc import AsyncIterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

NAME = os.environ["REPLICA"]
# What LiteLLM adds to its answers, and what an answer could do to nginx if nginx listened to it.
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
    """What this replica saw and does now. `left` counts clients that went away in the middle of a stream."""

    def __init__(self) -> None:
        self.seen: list[dict[str, object]] = []
        self.left = 0
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


async def answer(request: Request) -> Response:
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
    return JSONResponse({"seen": state.seen, "left": state.left})


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
    uvicorn.run(Starlette(routes=routes), host="0.0.0.0", port=4000, timeout_keep_alive=90, access_log=False)  # noqa: S104
