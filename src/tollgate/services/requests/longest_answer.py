"""The longest answer that a request allows. Money is reserved for it, and a `cheapest` choice compares its cost.

An upstream may ignore a field that its API does not have, and then write as much as its model can. So only the fields
in BOUNDS make the answer shorter. Every other field that asks for output can only make it longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tollgate.services.requests.fields import ANSWERS, largest_output
from tollgate.services.requests.routes import Api

# The fields that each API defines as the limit of one whole answer.
BOUNDS: Mapping[Api | None, tuple[str, ...]] = {
    Api.MESSAGES: ("max_tokens",),
    Api.CHAT: ("max_tokens", "max_completion_tokens"),
    Api.COMPLETIONS: ("max_tokens",),
}
# The tokens of an answer if neither the request nor the catalogue has a limit.
USUAL_OUTPUT = 4096


@dataclass(frozen=True)
class LongestAnswer:
    """`asked` is the largest number of tokens that a field asks for, 0 without one. No answer is longer if it is
    `bounded`. `answers` is how many answers the request gets."""

    asked: int
    bounded: bool
    answers: int

    def one(self, most: int | None, usual: int = USUAL_OUTPUT) -> int:
        """The tokens of one answer. `most` is the model's own limit, None if nobody knows it."""
        tokens = self.asked if self.bounded else max(self.asked, most or usual)
        return min(tokens, most) if most else tokens

    def together(self, most: int | None) -> int:
        """The tokens of all answers."""
        return self.answers * self.one(most)


def longest_answer(body: Mapping[str, Any], api: Api | None) -> LongestAnswer:
    """Of a checked body. None is the API of a route that tenants cannot use: then no field is a bound."""
    if api is Api.EMBEDDINGS:
        return LongestAnswer(0, bounded=True, answers=1)
    bounded = any(body.get(name) is not None for name in BOUNDS.get(api, ()))
    return LongestAnswer(largest_output(body) or 0, bounded, answers(body))


def answers(body: Mapping[str, Any]) -> int:
    """How many answers. OpenAI's older API gives `n` of them to each of several prompts."""
    each = max((count for name in ANSWERS if isinstance(count := body.get(name), int)), default=1)
    prompts = body.get("prompt")
    # A list of numbers is one prompt, written as tokens.
    if not isinstance(prompts, list) or all(isinstance(prompt, int) for prompt in prompts):
        return max(1, each)
    return max(1, each) * len(prompts)
