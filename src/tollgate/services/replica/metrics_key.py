"""A thin ASGI layer: only Prometheus can read a replica's metrics.

LiteLLM shows them to every client, and they contain tenants, hashes of keys and spend. nginx does not forward such
requests, but a user of the host can reach a container by its own address.
"""

from __future__ import annotations

from tollgate.services.requests.asgi import Application, Message, Receive, Send
from tollgate.services.requests.credentials import carries

REFUSED = b'{"error":{"message":"metrics need the key that Prometheus has","type":"authentication_error"}}'


def with_metrics_key(application: Application, key: str) -> Application:
    """Answer 401 below /metrics unless the Bearer token is `key`. If `key` is empty, always answer 401."""

    async def layer(scope: Message, receive: Receive, send: Send) -> None:
        known = carries(scope.get("headers", ()), key)
        if known or scope["type"] != "http" or not _asks_for_metrics(scope):
            await application(scope, receive, send)
            return
        headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": REFUSED})

    return layer


def _asks_for_metrics(scope: Message) -> bool:
    """Whether the path is /metrics in any spelling that a router could accept: with more slashes, or in capitals."""
    return str(scope.get("path", "")).lower().strip("/").split("/")[0] == "metrics"
