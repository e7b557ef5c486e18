"""Fields with a surcharge: one request body for each value that costs more than a model's price."""

from __future__ import annotations

from typing import Any

SURCHARGES: tuple[dict[str, Any], ...] = (
    {"service_tier": "priority"},
    {"service_tier": "scale"},
    {"service_tier": ["auto"]},
    {"service_tier": {"tier": "auto"}},
    {"speed": "fast"},
    {"inference_geo": "us"},
    {"web_search_options": {"search_context_size": "high"}},
    {"web_search_options": {}},
    {"modalities": ["text", "audio"]},
    {"audio": {"voice": "alloy"}},
    {"audio": {}},
    {"models": ["openai/gpt-5-pro"]},
    {"provider": {"order": ["dear"]}},
    {"route": "fallback"},
    {"plugins": [{"id": "web"}]},
    {"preset": "dear"},
)
NAMES = tuple(f"{name}={value}" for row in SURCHARGES for name, value in row.items())
