"""The figures of tokens that an upstream states, under the names that servers use.

The ledger and the converter both read here, so a client sees the tokens that are booked.

Names by server: OpenAI and OpenRouter `prompt_tokens_details.{cached_tokens, cache_write_tokens}`, DeepSeek
`prompt_cache_hit_tokens` (https://api-docs.deepseek.com/guides/kv_cache), Moonshot `cached_tokens`, servers that
translate from Anthropic's API `input_tokens` and its sisters, Groq `x_groq.usage`, llama.cpp `timings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Figure:
    """One figure that an upstream gave. `usable` if it can be used; `wrong` if it gave one that cannot."""

    __slots__ = ("usable", "value", "wrong")

    def __init__(self, given: Any, most: int) -> None:
        number = whole(given)
        self.usable = number is not None and 0 <= number <= most
        self.wrong = given is not None and not self.usable
        self.value = number if number is not None and self.usable else 0

    def plus(self, other: Figure, most: int) -> Figure:
        """Both together. The sum is usable only if this figure is, and wrong if one of both is."""
        total = Figure(self.value + other.value, most)
        total.usable = total.usable and self.usable
        total.wrong = total.wrong or self.wrong or other.wrong
        return total


class Chat(NamedTuple):
    """The figures of a chat usage. `plain` is the prompt without `read` and `written`, which contains `hour`."""

    plain: Figure
    read: Figure
    written: Figure
    hour: Figure
    output: Figure
    reasoning: Figure
    wrong: bool


def chat(usage: Any, most_in: int, most_out: int) -> Chat:
    """From the `usage` of a chat completion or of embeddings. `output` contains `reasoning`."""
    figures = mapping(usage)
    details = _details(figures, "prompt_tokens_details", "input_tokens_details")
    prompt = Figure(_first(figures, "prompt_tokens", "input_tokens"), most_in)
    cached = details.get("cached_tokens")
    if cached is None:
        cached = _first(figures, "prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")
    read = Figure(cached, most_in)
    added = _first(details, "cache_write_tokens", "cache_creation_tokens")
    written = Figure(_first(figures, "cache_creation_input_tokens") if added is None else added, most_in)
    ages = mapping(details.get("cache_creation_token_details"))
    hour = Figure(ages.get("ephemeral_1h_input_tokens"), most_in)
    # More from the cache than there was in the prompt is absurd: the whole prompt then counts as not cached.
    absurd = read.value + written.value > prompt.value
    wrong = absurd or prompt.wrong or written.wrong or hour.wrong
    if absurd:
        read = written = hour = Figure(None, 0)
    if hour.value > written.value:
        hour = written
    plain = Figure(prompt.value - read.value - written.value if prompt.usable else None, most_in)
    return Chat(plain, read, written, hour, *_output(figures, prompt, most_out), wrong)


def _output(figures: Mapping[str, Any], prompt: Figure, most: int) -> tuple[Figure, Figure]:
    output = Figure(_first(figures, "completion_tokens", "output_tokens"), most)
    details = _details(figures, "completion_tokens_details", "output_tokens_details")
    reasoning = Figure(details.get("reasoning_tokens"), most)
    # xAI counts reasoning beside completion_tokens: https://docs.x.ai/docs/guides/reasoning
    both = output.value + reasoning.value
    if reasoning.value and whole(figures.get("total_tokens")) == prompt.value + both:
        output = Figure(both, most)
    return output, reasoning


def of_answer(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The usage in a whole chat answer, in OpenAI's shape. Empty without one."""
    return of_usage(answer) or of_timings(answer)


def of_usage(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `usage` in a chat answer or in one chunk of it."""
    return mapping(answer.get("usage")) or mapping(mapping(answer.get("x_groq")).get("usage"))


def of_timings(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """llama.cpp counts what it read from its cache beside `prompt_n`."""
    timings = mapping(answer.get("timings"))
    if not timings:
        return {}
    prompt, cached = timings.get("prompt_n"), timings.get("cache_n")
    new, read = whole(prompt) or 0, whole(cached) or 0
    return {
        "prompt_tokens": new + read if new > 0 and read > 0 else prompt,
        "completion_tokens": timings.get("predicted_n"),
        "cached_tokens": cached,
    }


def compactions(usage: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The usage of each summary that Anthropic wrote of a long conversation. Only these are beside the top figures.

    https://platform.claude.com/docs/en/build-with-claude/compaction: the sum of all iterations is billed, and the top
    figures are the sum of those that are no compaction.
    """
    iterations = usage.get("iterations")
    entries = iterations if isinstance(iterations, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping) and entry.get("type") == "compaction"]


def later(before: Any, now: Any) -> Any:
    """Cumulative figures never shrink: some servers repeat a 0 at the end. A value that is no number stays, for us to
    notice it. Of two lists the later one counts, unless it is shorter."""
    if isinstance(now, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {**known, **{name: later(known.get(name), value) for name, value in now.items()}}
    if isinstance(now, list) and not isinstance(before, Mapping):
        return before if isinstance(before, list) and len(before) > len(now) else now
    if now is None or before is None:
        return before if now is None else now
    first, second = whole(before), whole(now)
    if first is None or second is None or first < 0 or second < 0:
        return before if first is None or first < 0 else now
    return max(first, second)


def whole(given: Any) -> int | None:
    """A whole number, also as 12.0, which some servers write; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return int(given) if isinstance(given, int) or given.is_integer() else None


def mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}


def _first(figures: Mapping[str, Any], *names: str) -> Any:
    """The first figure that is given, believable or not."""
    return next((figures[name] for name in names if figures.get(name) is not None), None)


def _details(figures: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((figures[name] for name in names if isinstance(figures.get(name), Mapping)), {})
