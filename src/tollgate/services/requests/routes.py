"""The routes that tenants' keys may use. All others are LiteLLM's management API, which needs the master key."""

from __future__ import annotations

from enum import Enum


class Api(Enum):
    """The API of a route. It decides the meaning of the body's fields."""

    MESSAGES = "messages"
    CHAT = "chat"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"


# Routes without a key and without a body: health checks, and the metrics for Prometheus.
OPEN = frozenset({"/health/liveliness", "/health/liveness", "/health/readiness", "/metrics", "/metrics/"})
# Only the gateway processes answer these: files of the page /usage and the greeting, without a key; a tenant's usage,
# with its key.
PAGE = ("/usage", "/usage/page.css", "/usage/page.js", "/usage/usage.js")
GREETING = "/api/hello"
USAGE = "/gateway/usage"
COUNT_TOKENS = "/v1/messages/count_tokens"
# The operator's page. nginx passes these on its admin listener only. Their figures need the master key.
CONSOLE_PAGE = ("/console", "/console/page.css", "/console/page.js", "/console/console.css", "/console/console.js")
CONSOLE_STATE, CONSOLE_PANELS = "/console/state", "/console/panels"
CONSOLE = frozenset({CONSOLE_STATE, CONSOLE_PANELS})
GATEWAYS_OPEN = frozenset({*PAGE, *CONSOLE_PAGE, GREETING})
GATEWAYS = GATEWAYS_OPEN | CONSOLE | {USAGE}
# Read-only routes that need a key.
_LISTS = ("/models", "/v1/models", "/health")
_APIS = {
    "/messages": Api.MESSAGES,
    "/messages/count_tokens": Api.MESSAGES,
    "/chat/completions": Api.CHAT,
    "/completions": Api.COMPLETIONS,
    "/embeddings": Api.EMBEDDINGS,
}


def api_of(path: str) -> Api | None:
    """The API behind an inference route; None for every other route. OpenAI's routes also exist without /v1."""
    bare = path.removeprefix("/v1")
    api = _APIS.get(bare)
    return None if api is Api.MESSAGES and bare == path else api


def for_tenants(method: str, path: str) -> bool:
    """Whether a tenant's key may use this route."""
    if method == "POST":
        return api_of(path) is not None
    return method in ("GET", "HEAD") and (
        path in _LISTS or path == USAGE or path.removeprefix("/v1").startswith("/models/")
    )
