"""A thin ASGI layer: takes out of every answer the headers that tell clients of the upstream.

LiteLLM copies the provider's response headers as `llm_provider-<name>` (request ids, quotas, organisation). nginx hides
headers by exact name only, and these names are the provider's to choose.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Callable[[], Awaitable[Message]], Send], Awaitable[None]]

PREFIX = b"llm_provider-"


def without_provider_headers(application: Application) -> Application:
    """Everything else passes untouched, body pieces as they come: no buffering, no task of its own."""

    async def layer(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        async def filtered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(PREFIX)]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, filtered if scope["type"] == "http" else send)

    return layer
