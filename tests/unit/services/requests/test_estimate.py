"""The rule of the estimate, and its distance from what was counted."""

from __future__ import annotations

from typing import Any

import pytest

from tollgate.services.requests.estimate import IMAGE_TOKENS, PDF_TOKENS, WORDS, input_tokens


def image(kind: str = "image/png", data: Any = "A" * 9_000_000) -> dict[str, Any]:
    return {"type": "x", "source": {"type": "base64", "media_type": kind, "data": data}}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 0),
        ([], 0),
        (None, 0),
        ({"messages": "x" * 40}, 10),
        ({"system": "x" * 41}, 11),
        ({"system": "本" * 4}, 3),
        ({"system": "\ud800" * 4}, 1),
        ({"messages": [7, None]}, 8 + 1),
        ({"messages": [{}, {}]}, 8),
        ({"max_tokens": 10**9, "metadata": {"user_id": "x" * 400}}, 0),
        ({"tools": [{"name": "ls"}]}, 2),
        ({"system": [{"text": "x" * 36, "cache_control": {"type": "ephemeral"}, "signature": "x" * 400}]}, 16),
    ],
)
def test_the_rule(body: Any, tokens: int) -> None:
    assert input_tokens(body) == tokens


def test_an_image_is_not_counted_by_its_bytes() -> None:
    assert input_tokens({"messages": [image()]}) < IMAGE_TOKENS + 20
    assert input_tokens({"messages": [image("application/pdf", "A")]}) > PDF_TOKENS
    assert input_tokens({"messages": [image("application/pdf")]}) == 4 + 3 + 300_000
    assert input_tokens({"messages": [image("application/pdf", 7)]}) == 4 + 3


@pytest.mark.parametrize("wrap", [lambda url: {"url": url}, lambda url: url], ids=["object", "text"])
def test_openais_image_is_not_counted_by_its_bytes_either(wrap: Any) -> None:
    def tokens(url: str, kind: str = "image_url") -> int:
        return input_tokens({"messages": [{"type": kind, "image_url": wrap(url)}]})

    encoded = "data:image/png;base64," + "A" * 9_000_000
    assert tokens(encoded) == 4 + IMAGE_TOKENS
    assert tokens(encoded, "text") > 2_000_000, "the twin: these are words"
    assert tokens("https://example.org/" + "x" * 4000) > 1000


@pytest.mark.parametrize("field", WORDS)
@pytest.mark.parametrize(
    "shape",
    [
        {"type": "base64", "media_type": "image/png", "data": "word " * 8000},
        {"type": "image_url", "image_url": {"url": "data:image/png," + "word " * 8000}},
        {"signature": "word " * 8000},
    ],
    ids=["image", "image_url", "signature"],
)
def test_what_only_looks_like_an_image_is_text(field: str, shape: dict[str, Any]) -> None:
    """The model reads the input of a tool as text. As an image it would cost a sixth. The second line is the twin."""
    assert input_tokens({"messages": [{"type": "tool_use", field: [{"deep": shape}]}]}) > 10_000
    assert input_tokens({"messages": [{"type": "x", "source": [shape]}]}) < IMAGE_TOKENS + 20


def test_any_depth() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert input_tokens({"messages": deep}) == 4 + 1
    while isinstance(deep, list):
        deep = deep.pop()
