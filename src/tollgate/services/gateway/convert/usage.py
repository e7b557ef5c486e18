"""The tokens of an answer, counted by the upstream, in Anthropic's kinds. They are those that the ledger books.

Anthropic counts cached tokens beside `input_tokens`, OpenAI inside `prompt_tokens`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollgate.services.gateway.convert.refusal import Json
from tollgate.services.gateway.ledger import stated
from tollgate.services.gateway.ledger.stated import Figure
from tollgate.services.gateway.ledger.usage import LARGEST
from tollgate.services.requests.estimate import BYTES_PER_TOKEN


@dataclass(frozen=True)
class Tokens:
    """Tokens by kind; None where the upstream has not counted. `input` is without cached, `output` with reasoning.

    `cache_write` contains `cache_write_1h`.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    cache_write_1h: int | None = None


def read(answer: Json) -> Tokens | None:
    """The usage in a whole answer, None without one."""
    return of(stated.of_answer(answer))


def of(figures: Mapping[str, Any]) -> Tokens | None:
    """From a usage in OpenAI's shape, None if it is empty."""
    if not figures:
        return None
    said = stated.chat(figures, LARGEST, LARGEST)
    return Tokens(*map(_known, (said.plain, said.output, said.read, said.written, said.reasoning, said.hour)))


def _known(figure: Figure) -> int | None:
    return figure.value if figure.usable else None


def in_messages(tokens: Tokens, *, estimate: int, characters: int) -> Json:
    """The `usage` of a Messages answer. Estimates stand for what the upstream has not counted, as in the ledger.

    `estimate` is in input tokens, `characters` what was answered.
    """
    # A prompt can come from the cache as a whole. An upstream that counts no token of it has not counted.
    cached = tokens.cache_read or tokens.cache_write
    usage: Json = {
        "input_tokens": tokens.input or (0 if cached and tokens.input is not None else estimate),
        "cache_creation_input_tokens": tokens.cache_write or 0,
        "cache_read_input_tokens": tokens.cache_read or 0,
        "output_tokens": tokens.output or -(-characters // BYTES_PER_TOKEN),
    }
    if tokens.cache_write_1h:
        of_hour, written = tokens.cache_write_1h, tokens.cache_write or 0
        ages = {"ephemeral_5m_input_tokens": written - of_hour, "ephemeral_1h_input_tokens": of_hour}
        usage["cache_creation"] = ages
    if tokens.reasoning is not None:
        usage["output_tokens_details"] = {"thinking_tokens": tokens.reasoning}
    return usage
