"""Finding a provider's message inside LiteLLM's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tollgate.services.replica.upstream_message import unwrap


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
        ("No , Received Model Group=m", "No"),
        ("ValueError: at line 3", "ValueError: at line 3"),
        ("{not json", "{not json"),
        ("", ""),
    ],
)
def test_the_innermost_message_is_found(wrapped: str, inner: str) -> None:
    assert unwrap(wrapped) == inner


UNWRAP = """
from tollgate.services.replica.upstream_message import unwrap
for piece in (" ", "\\n", ". ", ", \\n", "litellm.A: ", "AException - ", "[", '{"message":', "b'{", "\\\\"):
    for end in ("x", ""):
        unwrap(piece * (300_000 // len(piece)) + end)
"""


def test_no_text_of_an_upstream_takes_long() -> None:
    """An upstream may quote what the client sent. The time is for a machine that stands still."""
    done = subprocess.run([sys.executable, "-c", UNWRAP], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]
