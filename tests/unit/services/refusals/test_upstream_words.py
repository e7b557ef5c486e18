"""An upstream's message in any form of an error, and what of it a client may see."""

from __future__ import annotations

import pytest

from tollgate.services.refusals.upstream_words import harmless, message_of


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"error": {"message": "a"}}, "a"),
        ({"error": "a"}, "a"),
        ({"detail": [{"message": "a"}]}, "a"),
        ({"message": "a"}, "a"),
        ({}, ""),
        (None, ""),
        ("a", "a"),
    ],
)
def test_the_message_of_any_form_is_found(answer: object, text: str) -> None:
    assert message_of(answer) == text


def test_addresses_hashes_and_keys_are_removed() -> None:
    text = f"at http://vllm:8000/v1 and 10.0.0.7:8000 with {'a' * 64} and sk-abcdef0123456789"
    assert harmless(text) == "at [address] and [address] with [hash] and [key]"
    assert harmless("prompt is too long: 200001 tokens > 200000 maximum").startswith("prompt is too long: 200001")
    assert len(harmless("x" * 100_000)) == 4000
