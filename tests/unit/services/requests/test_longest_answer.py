"""The longest answer that a request allows: only the limits of the called API can make it shorter."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.requests.fields import OUTPUT, OUTPUT_INSIDE
from tollgate.services.requests.longest_answer import BOUNDS, USUAL_OUTPUT, longest_answer
from tollgate.services.requests.routes import Api

APIS = [*BOUNDS, None]
FIELDS: list[tuple[str, ...]] = [*((name,) for name in OUTPUT), *OUTPUT_INSIDE]


def asks(field: tuple[str, ...], tokens: int) -> dict[str, Any]:
    """A body with one field that asks for output."""
    return {field[0]: tokens if len(field) == 1 else {field[1]: tokens}}


def tokens(body: dict[str, Any], api: Api | None = Api.CHAT, most: int | None = 1000) -> int:
    return longest_answer(body, api).together(most)


@pytest.mark.parametrize("most", [None, 1000])
@pytest.mark.parametrize("api", APIS, ids=str)
@pytest.mark.parametrize("field", FIELDS, ids=".".join)
def test_only_the_limits_of_the_api_make_an_answer_shorter(field: tuple[str, ...], api: Api | None, most: Any) -> None:
    bound = len(field) == 1 and field[0] in BOUNDS.get(api, ())
    assert tokens(asks(field, 1), api, most) == (1 if bound else tokens({}, api, most))


def test_the_limits_of_each_api() -> None:
    """Written out, because a field that is added here is believed."""
    assert BOUNDS == {
        Api.MESSAGES: ("max_tokens",),
        Api.CHAT: ("max_tokens", "max_completion_tokens"),
        Api.COMPLETIONS: ("max_tokens",),
    }


@pytest.mark.parametrize("api", APIS, ids=str)
@pytest.mark.parametrize("field", FIELDS, ids=".".join)
def test_every_field_makes_it_longer(field: tuple[str, ...], api: Api | None) -> None:
    assert tokens(asks(field, 90_000), api, None) == 90_000
    assert tokens({"max_tokens": 1, **asks(field, 90_000)}, api, None) == 90_000
    assert tokens(asks(field, 90_000), api, 1000) == 1000, "a model writes no more than it can"


def test_without_a_limit_it_is_the_models_or_the_usual_one() -> None:
    assert (tokens({}), tokens({}, most=None)) == (1000, USUAL_OUTPUT)
    assert tokens({"max_tokens": None}) == 1000
    assert longest_answer({}, Api.CHAT).one(None, 16_384) == 16_384


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 1),
        ({"n": None, "best_of": None}, 1),
        ({"n": 3}, 3),
        ({"n": 3, "best_of": 5}, 5),
        ({"prompt": "one"}, 1),
        ({"prompt": []}, 1),
        ({"prompt": [17, 18, 19]}, 1),
        ({"prompt": ["one", "two"]}, 2),
        ({"prompt": [[17, 18], [19]], "n": 4}, 8),
        ({"n": "3"}, 1),  # a route of the operator, whose fields nobody checks
    ],
)
def test_each_answer_to_each_prompt_counts(more: dict[str, Any], count: int) -> None:
    assert tokens({"max_tokens": 10, **more}, Api.COMPLETIONS) == 10 * count


@given(st.dictionaries(st.sampled_from(FIELDS), st.integers(1, 10**6)), st.sampled_from(APIS), st.integers(1, 10**5))
def test_no_field_beside_the_limits_lowers_a_reservation(asked: Any, api: Api | None, most: int) -> None:
    bounds = [(name,) for name in BOUNDS.get(api, ())]
    body: dict[str, Any] = {}
    for field, number in asked.items():
        body |= asks(field, number)
    kept = {field[0]: asked[field] for field in bounds if field in asked}
    assert tokens(body, api, most) >= tokens(kept, api, most)
