"""Takes an upstream's message out of LiteLLM's wrapping."""

from __future__ import annotations

import json
import re

from tollgate.services.refusals.upstream_words import message_of

# For example "litellm.BadRequestError: AnthropicException - ...", also more than once.
_PREFIX = re.compile(
    r"^\s*(?:Invalid request format:|litellm\.\w+:(?: \w+Error:)?|[\w.]+Exception(?: \w+Error)? -|Error code: \d+ -)\s*"
)
# LiteLLM wraps a message two or three times. An upstream's own text may look like any number of wrappings.
MOST_LAYERS = 12
# The text that LiteLLM's router adds at the end: model groups, fallbacks, retries, deployments in cooldown.
# It begins where white space begins: else it would look at the rest of a long space again from each place in it.
_SUFFIX = re.compile(
    r"(?:(?<!\s)|(?=[.,]))(?:[.,]?\s*"
    r"(?:Received Model Group\s*=|Available Model Group Fallbacks\s*=|LiteLLM Retried:|LiteLLM Max Retries:)"
    r"|\s*\n\nLiteLLM: model group).*$",
    re.DOTALL,
)


def unwrap(text: str) -> str:
    """The innermost message: without prefixes, out of its JSON, without the router's text at the end."""
    for _ in range(MOST_LAYERS):
        before = text
        text = _SUFFIX.sub("", _PREFIX.sub("", text)).strip()
        text = _opened(text)
        if text == before:
            break
    return text


def _opened(text: str) -> str:
    """The message inside, if `text` is JSON, also in Python's notation for bytes: b'{...}'."""
    inner = text[2:-1] if text[:2] in ("b'", 'b"') and text[-1:] == text[1] else text
    if not inner.startswith(("{", "[")):
        return text
    try:
        answer, _ = json.JSONDecoder().raw_decode(inner)
    except (ValueError, RecursionError):
        return text
    return message_of(answer) or text
