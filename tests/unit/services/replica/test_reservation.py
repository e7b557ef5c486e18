"""LiteLLM reserves on a replica by the rule of a gateway process. LiteLLM is a fake."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tollgate.services.replica.reservation import reserve_the_longest

PARTS = ("litellm", "litellm.proxy", "litellm.proxy.spend_tracking", "litellm.proxy.spend_tracking.budget_reservation")
USUAL = 16_384


@pytest.fixture
def litellm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """LiteLLM's module with its functions that the patch reads or replaces."""
    outer: Any = None
    for name in PARTS:
        module: Any = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        if outer is not None:
            setattr(outer, name.rpartition(".")[2], module)
        outer = module
    outer._is_input_only_route = lambda route: "embeddings" in route
    outer._to_int = lambda value: None if value is None else int(value)
    outer._estimate_output_tokens = outer._get_output_multiplier = lambda **asked: 1
    outer.DEFAULT_MAX_OUTPUT_TOKENS_FALLBACK = USUAL
    yield outer


def reserved(litellm: Any, route: str, most: int | None = 500, **body: Any) -> int:
    """By LiteLLM's own calls."""
    one = litellm._estimate_output_tokens(request_body=body, route=route, model_info={"max_output_tokens": most})
    return int(one * litellm._get_output_multiplier(request_body=body))


CHAT, MESSAGES, TEXTS = "/v1/chat/completions", "/v1/messages", "/v1/completions"
ONE: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"n_predict": 1}),
    ("/chat/completions", {"options": {"num_predict": 1}}),
    (CHAT, {"reasoning": {"max_tokens": 1}}),
    (CHAT, {"max_output_tokens": 1}),
    (CHAT, {"inferenceConfig": {"maxTokens": 1}}),
    (MESSAGES, {"max_completion_tokens": 1}),
    (TEXTS, {"max_completion_tokens": 1}),
    ("/v1/responses", {"max_output_tokens": 1}),
]


@pytest.mark.parametrize(("route", "body"), ONE)
def test_a_field_that_the_upstream_may_ignore_reserves_no_less(litellm: Any, route: str, body: dict[str, Any]) -> None:
    reserve_the_longest()
    assert reserved(litellm, route, **body) == reserved(litellm, route) == 500
    assert reserved(litellm, route, None, **body) == USUAL


@pytest.mark.parametrize(
    ("route", "body"),
    [(CHAT, {"max_tokens": 7}), (CHAT, {"max_completion_tokens": 7}), (MESSAGES, {"max_tokens": 7})],
)
def test_twin_the_limit_of_the_answer_reserves_less(litellm: Any, route: str, body: dict[str, Any]) -> None:
    reserve_the_longest()
    assert reserved(litellm, route, **body) == 7


def test_the_largest_field_counts_and_the_models_limit(litellm: Any) -> None:
    reserve_the_longest()
    assert reserved(litellm, CHAT, max_tokens=1, max_completion_tokens=400) == 400
    assert reserved(litellm, CHAT, max_tokens=40_000) == 500
    assert reserved(litellm, CHAT, None, max_tokens=40_000) == 40_000


def test_each_answer_is_reserved(litellm: Any) -> None:
    reserve_the_longest()
    assert reserved(litellm, CHAT, max_tokens=7, n=3) == 21
    assert reserved(litellm, TEXTS, max_tokens=7, prompt=["a", "b"], best_of=2) == 28


def test_a_route_without_answers_reserves_no_output(litellm: Any) -> None:
    reserve_the_longest()
    assert reserved(litellm, "/v1/embeddings", input="x") == 0


@pytest.mark.parametrize("name", ["_estimate_output_tokens", "_get_output_multiplier"])
def test_another_litellm_without_a_function_does_not_start(litellm: Any, name: str) -> None:
    delattr(litellm, name)
    with pytest.raises(TypeError, match=name):
        reserve_the_longest()
