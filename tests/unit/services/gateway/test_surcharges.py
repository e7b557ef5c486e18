"""A field that costs more than the catalogue says, or reaches another model, is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tollgate.services.gateway.surcharges import problem


@pytest.mark.parametrize(
    "field",
    [
        {"service_tier": "priority"},
        {"service_tier": "scale"},
        {"service_tier": ["auto"]},
        {"service_tier": {"tier": "auto"}},
        {"speed": "fast"},
        {"inference_geo": "us"},
        {"web_search_options": {"search_context_size": "high"}},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy"}},
        {"models": ["openai/gpt-5-pro"]},
        {"provider": {"order": ["dear"]}},
        {"route": "fallback"},
        {"plugins": [{"id": "web"}]},
        {"preset": "dear"},
    ],
)
def test_a_field_that_makes_an_answer_more_expensive_is_named(field: dict[str, Any]) -> None:
    assert problem({"model": "m", **field}).startswith(f"{next(iter(field))}: ")


@pytest.mark.parametrize(
    "field",
    [
        {"service_tier": "auto"},
        {"service_tier": "standard_only"},
        {"service_tier": None},
        {"speed": "standard"},
        {"inference_geo": "global"},
        {"modalities": ["text"]},
        {"models": None},
        {"next_weeks_field": {"x": 1}},
        {"safeguards": {}},
    ],
)
def test_twin_base_prices_and_unknown_fields_pass(field: dict[str, Any]) -> None:
    assert problem({"model": "m", **field}) == ""
