"""Fields that make an answer more expensive than its price in the catalogue, or let another model answer.

The catalogue has one price for a model. A request with such a field is refused where an upstream would get the field,
and is sent without it where the request is translated. Unknown fields pass, so that a new Claude Code works. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Values that cost no more than the price of the catalogue. Every other value of these fields does, or may.
_AT_BASE_PRICE: Mapping[str, tuple[Any, ...]] = {
    # Anthropic: auto, standard_only. OpenAI: auto, default, flex; its priority and scale cost more.
    "service_tier": ("auto", "standard_only", "default", "flex"),
    # Anthropic's "fast" costs six times as much.
    "speed": ("standard",),
    # Anthropic's "us" costs a tenth more.
    "inference_geo": ("global", "", "not_available"),
    # Tokens of sound cost many times as much as those of text.
    "modalities": (["text"],),
}
# OpenAI's search and sound; OpenRouter's choice of models, providers and plugins.
_REFUSED = ("web_search_options", "audio", "models", "provider", "route", "plugins", "preset")
# An empty object is a value: `web_search_options: {}` switches the search on. These two ask for nothing.
_NOTHING: tuple[Any, ...] = (None, [])
NAMES = frozenset((*_AT_BASE_PRICE, *_REFUSED))


def problem(body: Mapping[str, Any]) -> str:
    """The first such field, as `field: what to do`; empty without one."""
    for name, values in _AT_BASE_PRICE.items():
        if body.get(name) is not None and body[name] not in values:
            return f"{name}: this gateway has no price for this value; leave it out, or send {_shown(values[0])}"
    for name in _REFUSED:
        if body.get(name) not in _NOTHING:
            return f"{name}: this gateway does not accept it from a client; leave it out"
    return ""


def _shown(value: Any) -> str:
    return f'["{value[0]}"]' if isinstance(value, list) else f'"{value}"'
