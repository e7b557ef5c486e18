"""A gateway for the client package's tests: a real HTTP server on loopback, with the embedded provider behind it.

It answers `/v1/models`, `/gateway/usage` and `/gateway/health` as the gateway documents them, and checks the key. Every
other route is the embedded provider's, which answers for any model name and obeys dials.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette

from tollgate.services.provider.app import create_app
from tollgate.services.provider.recorder import Recorder
from tollgate.services.provider.server import server

KEY = "sk-acme-0123456789abcdef"
CACHE = {"cache_read": "0.1", "cache_write_5m": "1.25", "cache_write_1h": "2"}


def entry(name: str, price: dict[str, str] | None, **more: Any) -> dict[str, Any]:
    """One entry of /v1/models."""
    stated = None if price is None else {"unit": "USD per million tokens", **price}
    tollgate = {
        "price": stated,
        "context_tokens": 200000,
        "max_output_tokens": 64000,
        "capabilities": ["documents", "images", "streaming", "structured_output", "tools"],
        "free": False,
        "mode": "chat",
        **more,
    }
    return {"id": name, "object": "model", "owned_by": "acme", "display_name": name, "tollgate": tollgate}


MODELS = [
    entry("small-model", {"input": "0.1", "output": "0.5"}),
    entry("test-model", {"input": "1", "output": "5", **CACHE}),
    entry("large-model", {"input": "4", "output": "20"}),
    entry("test-embedding", {"input": "0.02", "output": "0"}, mode="embedding", capabilities=[]),
]
USAGE = {
    "tenant": "acme",
    "key": "laptop",
    "key_expires_at": None,
    "at": "2026-11-28T10:00:00Z",
    "currency": "USD",
    "money": [
        {
            "window": "day",
            "scope": "tenant",
            "model": None,
            "limit": "10.00",
            "spent": "3.214",
            "left": "6.786",
            "resets_at": "2099-11-29T00:00:00Z",
        }
    ],
    "rates": [
        {
            "what": "requests",
            "window": "minute",
            "scope": "tenant",
            "model": None,
            "limit": 60,
            "used": 3,
            "left": 57,
            "resets_at": "2099-11-28T10:01:00Z",
        },
        {
            "what": "tokens",
            "window": "minute",
            "scope": "key",
            "limit": 9,
            "used": None,
            "left": None,
            "resets_at": None,
        },
    ],
    "keys": [{"name": "laptop", "yours": True, "spent": "3.2"}],
    "days": [{"day": "2026-11-28", "spent": "3.214", "requests": 4, "failed": 1, "models": {}}],
    "later_field": {"kept": True},
}


@dataclass
class Front:
    """`models` and `usage` are what it answers; `paths` every route that was asked for, in order, and
    `ports` the clients' ports of them."""

    provider: Starlette
    url: str = ""
    models: list[dict[str, Any]] = field(default_factory=lambda: list(MODELS))
    usage: dict[str, Any] = field(default_factory=lambda: dict(USAGE))
    healthy: bool = True
    paths: list[str] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    refusals: dict[str, tuple[int, dict[str, str], dict[str, Any]]] = field(default_factory=dict)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path, headers = scope["path"], dict(scope["headers"])
        self.paths.append(path)
        self.ports.append(scope["client"][1])
        keys = {headers.get(b"authorization", b"").removeprefix(b"Bearer "), headers.get(b"x-api-key")}
        if path != "/gateway/health" and KEY.encode() not in keys:
            error = {"message": "The key is unknown.", "type": "authentication_error", "code": "key_unknown"}
            await _json(send, 401, {"error": error}, {"x-should-retry": "false"})
        elif path == "/v1/models":
            await _json(send, 200, {"object": "list", "data": self.models})
        elif path == "/gateway/usage":
            await _json(send, 200, self.usage)
        elif path == "/gateway/health":
            await _json(send, 200 if self.healthy else 503, {"status": "ok", "route": "direct"})
        else:
            await self._provider(scope, receive, send)

    async def _provider(self, scope: Any, receive: Any, send: Any) -> None:
        pieces, more = [], True
        while more:
            message = await receive()
            pieces.append(message.get("body", b""))
            more = message.get("more_body", False)
        sent = json.loads(b"".join(pieces))
        self.bodies.append({"path": scope["path"], **sent})
        refusal = self.refusals.get(sent.get("model", "")) if "count" not in scope["path"] else None
        if refusal:
            status, headers, error = refusal
            await _json(send, status, {"error": error}, headers)
            return
        whole = [{"type": "http.request", "body": b"".join(pieces), "more_body": False}]

        async def again() -> Any:
            return whole.pop() if whole else await receive()

        await self.provider(scope, again, send)

    def sent(self, path: str = "/v1/chat/completions") -> list[dict[str, Any]]:
        return [body for body in self.bodies if body["path"] == path]


async def _json(send: Any, status: int, found: Any, more: dict[str, str] | None = None) -> None:
    text = json.dumps(found).encode()
    headers = {"content-type": "application/json", "content-length": str(len(text)), "request-id": "req-1"}
    named = [(name.encode(), value.encode()) for name, value in {**headers, **(more or {})}.items()]
    await send({"type": "http.response.start", "status": status, "headers": named})
    await send({"type": "http.response.body", "body": text})


@contextmanager
def running() -> Iterator[Front]:
    """In a thread with a loop of its own, so that tests may block and may run a loop themselves."""
    front, ready, stop = Front(create_app(Recorder(), under_test=True)), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        made = server(front)
        made.config.port = 0
        made.config.load()
        made.lifespan = made.config.lifespan_class(made.config)
        await made.startup()
        front.url = f"http://127.0.0.1:{made.servers[0].sockets[0].getsockname()[1]}"
        ready.set()
        await stop.wait()
        await made.shutdown()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert ready.wait(20)
    try:
        yield front
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()
