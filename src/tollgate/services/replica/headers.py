"""A thin ASGI layer that removes headers about the upstream from every answer.

LiteLLM copies the provider's response headers as `llm_provider-<name>` (request ids, quotas, organisation). nginx can
remove headers only by their exact names, and the provider chooses these names.
"""

from __future__ import annotations

from tollgate.services.requests.asgi import Application, Message, Receive, Send

PREFIX = b"llm_provider-"


def without_provider_headers(application: Application) -> Application:
    """Everything else passes unchanged. It does not buffer the body and starts no task."""

    async def layer(scope: Message, receive: Receive, send: Send) -> None:
        async def filtered(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [pair for pair in message.get("headers", ()) if not pair[0].lower().startswith(PREFIX)]
                message = {**message, "headers": headers}
            await send(message)

        await application(scope, receive, filtered if scope["type"] == "http" else send)

    return layer
