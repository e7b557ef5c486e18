"""Chat, Messages, embeddings, exact costs and cost-aware routing over a Tollgate gateway.

    from tollgate_client import ChatMessage, LiteLLMProvider, Router         # asynchronous
    from tollgate_client.sync import LiteLLMProvider, Router                 # the same without async

`import tollgate_client` alone loads nothing else: each name is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tollgate_client.version import VERSION

if TYPE_CHECKING:
    from tollgate_client._async.provider import LiteLLMProvider
    from tollgate_client._async.router import HeuristicRouter, Router
    from tollgate_client.errors import TollgateError
    from tollgate_client.models import ChatMessage, ContentPart, Tool

__version__ = VERSION
_HOMES = {
    "LiteLLMProvider": "_async.provider",
    "HeuristicRouter": "_async.router",
    "Router": "_async.router",
    "TollgateError": "errors",
    "ChatMessage": "models",
    "ContentPart": "models",
    "Tool": "models",
}

__all__ = [
    "ChatMessage",
    "ContentPart",
    "HeuristicRouter",
    "LiteLLMProvider",
    "Router",
    "TollgateError",
    "Tool",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
