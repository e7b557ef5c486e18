"""A field that costs more than the catalogue says, or reaches another model, is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.surcharges import NAMES, SURCHARGES
from tollgate.services.requests import chat_shape, surcharges
from tollgate.services.requests.surcharges import problem


@pytest.mark.parametrize("field", SURCHARGES, ids=NAMES)
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
        {"web_search_options": None},
        {"models": None},
        {"models": []},
        {"plugins": []},
        {"next_weeks_field": {"x": 1}},
        {"safeguards": {}},
    ],
)
def test_twin_base_prices_and_unknown_fields_pass(field: dict[str, Any]) -> None:
    assert problem({"model": "m", **field}) == ""


def test_the_rows_have_every_field() -> None:
    assert {name for row in SURCHARGES for name in row} == surcharges.NAMES


@pytest.mark.parametrize("field", SURCHARGES, ids=NAMES)
def test_a_translated_request_has_no_such_field_even_if_litellm_knows_it(field: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [], "max_tokens": 9, **field}
    shaped = chat_shape.for_others(body, sent=body, known=lambda name: True, provider="openai")
    assert shaped == {"model": "m", "messages": [], "max_tokens": 9}
