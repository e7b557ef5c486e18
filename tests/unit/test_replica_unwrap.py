"""What a provider said, found inside what LiteLLM makes of it."""

from __future__ import annotations

import pytest

from tollgate.services.replica.unwrap import harmless, message_of, unwrap


@pytest.mark.parametrize(
    ("wrapped", "inner"),
    [
        ("prompt is too long: 1 tokens > 0 maximum", "prompt is too long: 1 tokens > 0 maximum"),
        ('litellm.BadRequestError: AnthropicException - {"error":{"message":"No."}}', "No."),
        ('litellm.BadRequestError: AnthropicException - b\'{"error":{"message":"No."}}\'', "No."),
        ('litellm.BadRequestError: litellm.ContextWindowExceededError: OpenAIException - {"message":"No."}', "No."),
        ("litellm.APIError: APIError: Hosted_vllmException - No.", "No."),
        ("AzureException BadRequestError - No.", "No."),
        ("No.\n\nLiteLLM: model group 'm' failed with the error above. No fallback was attempted.", "No."),
        ("No.. Received Model Group=m\nAvailable Model Group Fallbacks=None LiteLLM Retried: 2 times", "No."),
        ("ValueError: at line 3", "ValueError: at line 3"),
        ("{not json", "{not json"),
        ("", ""),
    ],
)
def test_the_innermost_words_are_found(wrapped: str, inner: str) -> None:
    assert unwrap(wrapped) == inner


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
def test_the_text_of_any_shape_is_found(answer: object, text: str) -> None:
    assert message_of(answer) == text


def test_addresses_hashes_and_keys_are_taken_out() -> None:
    text = f"at http://vllm:8000/v1 and 10.0.0.7:8000 with {'a' * 64} and sk-abcdef0123456789"
    assert harmless(text) == "at [address] and [address] with [hash] and [key]"
    assert harmless("prompt is too long: 200001 tokens > 200000 maximum").startswith("prompt is too long: 200001")
    assert len(harmless("x" * 100_000)) == 4000
