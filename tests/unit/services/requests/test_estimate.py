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


LETTERS = "A" * 3_000_000
PNG, PDF = f"data:image/png;base64,{LETTERS}", f"data:application/pdf;base64,{LETTERS}"
PICTURES: dict[str, dict[str, Any]] = {
    "image": {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": LETTERS}},
    "image by address": {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}},
    "uploaded image": {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
    "image in a result": {
        "type": "tool_result",
        "content": [{"type": "image", "source": {"type": "base64", "media_type": "image/gif", "data": LETTERS}}],
    },
    "image_url": {"type": "image_url", "image_url": {"url": PNG, "detail": "high"}},
    "image_url as text": {"type": "image_url", "image_url": PNG},
    "image_url by address": {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    "image_url of base64 alone": {"type": "image_url", "image_url": {"url": LETTERS}},
    "input_image": {"type": "input_image", "image_url": PNG.replace("image/png", "IMAGE/JPEG;charset=x")},
    "file with an image": {"type": "file", "file": {"filename": "a.png", "file_data": PNG}},
}
BY_SIZE: dict[str, dict[str, Any]] = {
    "document": {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": LETTERS}},
    "file": {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
    "input_file": {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
    "image_url with a PDF": {"type": "image_url", "image_url": {"url": PDF}},
    "input_audio": {"type": "input_audio", "input_audio": {"data": LETTERS, "format": "wav"}},
    "audio_url": {"type": "audio_url", "audio_url": {"url": f"data:audio/ogg;codecs=opus;base64,{LETTERS}"}},
    "video_url": {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{LETTERS}"}},
}


@pytest.mark.parametrize("name", PICTURES)
def test_every_kind_of_picture_counts_the_same(name: str) -> None:
    asked = {"messages": [{"role": "user", "content": [PICTURES[name]]}]}
    assert IMAGE_TOKENS <= input_tokens(asked) < IMAGE_TOKENS + 40


@pytest.mark.parametrize("name", BY_SIZE)
def test_documents_and_recordings_count_by_their_size(name: str) -> None:
    asked = {"messages": [{"role": "user", "content": [BY_SIZE[name]]}]}
    assert 100_000 <= input_tokens(asked) < 100_040


@pytest.mark.parametrize(
    "words",
    [
        {"type": "text", "text": PNG},
        {"role": "user", "content": PNG},
        {"type": "image_url", "image_url": {"url": PNG}, "text": LETTERS},
        {"type": "image_url", "image_url": {"url": PNG, "words": LETTERS}},
        {"type": "file", "file": {"file_data": f"data:text/plain;base64,{LETTERS}"}},
        {"type": "file", "file": {"file_data": LETTERS}},
        {"type": "file", "file": LETTERS},
        {"type": "image", "source": LETTERS},
        {"type": "image", "source": {"type": "url", "url": "https://example.org"}, "text": LETTERS},
        {"type": "base64", "media_type": "image/png", "data": "A", "text": LETTERS},
        {"type": ["image_url"], "image_url": {"url": PNG}},
        {"type": {"image_url": LETTERS}},
        {"type": "image_url", "image_url": [LETTERS]},
        {"type": "image_url", "image_url": {"url": {"url": LETTERS}}},
    ],
)
def test_twin_words_count_by_their_letters_wherever_they_stand(words: dict[str, Any]) -> None:
    """Otherwise a client could write its prompt as a picture, and no limit would know its size."""
    assert input_tokens({"messages": [words]}) > len(LETTERS) // 4


def test_a_chats_functions_and_the_schema_of_its_answer_count() -> None:
    for name in ("functions", "response_format"):
        assert input_tokens({name: [{"description": "x" * 400}]}) > 100


def test_any_depth() -> None:
    deep: Any = "x"
    for _ in range(50_000):
        deep = [deep]
    assert input_tokens({"messages": deep}) == 4 + 1
    while isinstance(deep, list):
        deep = deep.pop()
