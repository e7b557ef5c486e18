"""The tokens of a call, read from an answer or a stream of either API. An upstream's figures are data, not the truth.

A figure that is negative, fractional, a truth value, a text or over its bound is not used, and neither is a missing or
zero figure where there was something to count. Our own count takes its place, and the usage is marked `estimated`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

# The rule of our own count: four characters are a token, rounded up.
CHARACTERS_A_TOKEN = 4
# Nothing larger is believed, whatever a catalogue says. Ten such calls still fit into LiteLLM's 32-bit columns.
LARGEST = 200_000_000
# A server tool reads the conversation again in each of its rounds, and `n` writes several answers.
ROUNDS = 8
# Without a limit in the catalogue: a token has at least one byte. Pictures by address, documents, the provider's own
# prompt for tools and hidden reasoning have no bytes that we see.
UNSEEN = 1_000_000


class Tool(NamedTuple):
    """Uses of a tool that the provider ran, each at this price in nano-dollars."""

    name: str
    uses: int
    nano_each: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and uses of tools. `input` is without what the cache read and wrote; `output` contains `reasoning`."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    estimated: bool = False
    tools: tuple[Tool, ...] = ()

    @property
    def cache_write(self) -> int:
        return self.cache_write_5m + self.cache_write_1h

    @property
    def prompt(self) -> int:
        """All that was read, as LiteLLM's `prompt_tokens` counts it."""
        return self.input + self.cache_read + self.cache_write

    def plain(self) -> list[int]:
        """The tokens for a line of the journal. Tools are apart, so that an older release reads the line too."""
        tokens = [self.input, self.output, self.cache_read, self.cache_write_5m, self.cache_write_1h, self.reasoning]
        return [*tokens, int(self.estimated)]

    def plain_tools(self) -> list[list[str | int]]:
        return [list(tool) for tool in self.tools]

    @classmethod
    def from_plain(cls, numbers: Iterable[Any], tools: Iterable[Any] = ()) -> Usage:
        plain, output, read, five, hour, reasoning, estimated = (int(number) for number in numbers)
        ran = tuple(Tool(str(name), int(uses), int(nano)) for name, uses, nano in tools)
        return cls(plain, output, read, five, hour, reasoning, bool(estimated), ran)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Our own count: the characters that went in and that came out."""

    characters_in: int = 0
    characters_out: int = 0

    @property
    def input(self) -> int:
        return -(-self.characters_in // CHARACTERS_A_TOKEN)

    @property
    def output(self) -> int:
        return -(-self.characters_out // CHARACTERS_A_TOKEN)

    def usage(self) -> Usage:
        """The usage of a call whose upstream said nothing."""
        return Usage(input=min(self.input, LARGEST), output=min(self.output, LARGEST), estimated=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The largest believable figures of one call."""

    input: int = LARGEST
    output: int = LARGEST

    @classmethod
    def of(cls, context: int | None = None, output: int | None = None, bytes_in: int = 0, bytes_out: int = 0) -> Bounds:
        """From the model's context window and the most output it may write; without them from the bytes seen."""
        most_in = ROUNDS * context if context else bytes_in + UNSEEN
        most_out = ROUNDS * output if output else bytes_out + UNSEEN
        return cls(min(most_in, LARGEST), min(most_out, LARGEST))


ANYTHING = Bounds()


def anthropic(usage: Any, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
    """From the `usage` of a Messages answer, or the figures of a stream that `AnthropicStream` gathered."""
    figures = _mapping(usage)
    details = _mapping(figures.get("cache_creation"))
    hour = _Figure(details.get("ephemeral_1h_input_tokens"), bounds.input)
    five = _Figure(details.get("ephemeral_5m_input_tokens"), bounds.input)
    written = _Figure(figures.get("cache_creation_input_tokens"), bounds.input)
    # The total rules. Writes that the details do not explain are the cheaper ones, of five minutes.
    total = written.value if written.usable else five.value + hour.value
    of_hour = min(hour.value, total)
    prompt = _Prompt(
        _Figure(figures.get("input_tokens"), bounds.input),
        _Figure(figures.get("cache_read_input_tokens"), bounds.input),
        total - of_hour,
        of_hour,
        wrong=hour.wrong or five.wrong or written.wrong,
    )
    thinking = _mapping(figures.get("output_tokens_details")).get("thinking_tokens")
    return _usage(prompt, _Figure(figures.get("output_tokens"), bounds.output), thinking, seen, bounds)


def openai(usage: Any, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
    """From the `usage` of a chat completion or of embeddings, or of a stream that `OpenAIStream` gathered.

    `prompt_tokens` contains what the cache read and wrote.
    """
    figures = _mapping(usage)
    details = _mapping(figures.get("prompt_tokens_details"))
    read = _Figure(
        _first(details.get("cached_tokens"), figures.get("prompt_cache_hit_tokens"), figures.get("cached_tokens")),
        bounds.input,
    )
    written = _Figure(_first(details.get("cache_write_tokens"), details.get("cache_creation_tokens")), bounds.input)
    whole = _Figure(figures.get("prompt_tokens"), bounds.input)
    # More from the cache than there was in the prompt is absurd: the whole prompt then counts as not cached.
    absurd = whole.usable and read.value + written.value > whole.value
    if absurd:
        read = written = _Figure(None, 0)
    rest = _Figure(whole.value - read.value - written.value if whole.usable else None, bounds.input)
    prompt = _Prompt(rest, read, written.value, 0, wrong=absurd or whole.wrong or written.wrong)
    hidden = _mapping(figures.get("completion_tokens_details")).get("reasoning_tokens")
    return _usage(prompt, _Figure(figures.get("completion_tokens"), bounds.output), hidden, seen, bounds)


class AnthropicStream:
    """Gathers the figures of a Messages stream: message_start has the first, each message_delta cumulative ones."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def feed(self, event: Mapping[str, Any]) -> None:
        """Any event of the stream; those without usage change nothing."""
        kind = event.get("type")
        if kind == "message_start":
            self._add(_mapping(event.get("message")).get("usage"))
        elif kind == "message_delta":
            self._add(event.get("usage"))

    def _add(self, usage: Any) -> None:
        for name, value in _mapping(usage).items():
            self.figures[name] = _later(self.figures.get(name), value)

    def usage(self, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
        return anthropic(self.figures, seen, bounds)


class OpenAIStream:
    """Gathers the figures of a chat stream: one chunk has them, or each has those so far."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Any chunk of the stream; those without usage change nothing."""
        for name, value in _mapping(chunk.get("usage")).items():
            self.figures[name] = _later(self.figures.get(name), value)

    def usage(self, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
        return openai(self.figures, seen, bounds)


class _Figure:
    """One figure that an upstream gave. `usable` if it can be used; `wrong` if it gave one that cannot."""

    __slots__ = ("usable", "value", "wrong")

    def __init__(self, given: Any, most: int) -> None:
        number = _whole(given)
        self.usable = number is not None and 0 <= number <= most
        self.wrong = given is not None and not self.usable
        self.value = number if number is not None and self.usable else 0


@dataclass(frozen=True, slots=True)
class _Prompt:
    plain: _Figure
    read: _Figure
    five: int
    hour: int
    wrong: bool


def _usage(prompt: _Prompt, output: _Figure, hidden: Any, seen: Estimate, bounds: Bounds) -> Usage:
    cached = prompt.read.value + prompt.five + prompt.hour
    stated = prompt.plain.value + cached
    no_prompt = seen.input > 0 and (not prompt.plain.usable or not stated)
    no_output = seen.output > 0 and not output.value
    written = min(seen.output, bounds.output) if no_output or output.wrong else output.value
    reasoning = _Figure(hidden, written).value
    if stated > bounds.input:
        return Usage(min(seen.input, bounds.input), written, reasoning=reasoning, estimated=True)
    doubtful = no_prompt or prompt.wrong or prompt.plain.wrong or prompt.read.wrong
    plain = max(prompt.plain.value, min(seen.input, bounds.input) - cached) if doubtful else prompt.plain.value
    estimated = doubtful or no_output or output.wrong
    return Usage(plain, written, prompt.read.value, prompt.five, prompt.hour, reasoning, estimated)


def _later(before: Any, now: Any) -> Any:
    """Cumulative figures never shrink: some servers repeat a 0 at the end. A value that is no number stays, for us to
    notice it."""
    if isinstance(now, Mapping):
        known = before if isinstance(before, Mapping) else {}
        return {**known, **{name: _later(known.get(name), value) for name, value in now.items()}}
    if now is None or before is None:
        return before if now is None else now
    first, second = _whole(before), _whole(now)
    if first is None or second is None or first < 0 or second < 0:
        return before if first is None or first < 0 else now
    return max(first, second)


def _whole(given: Any) -> int | None:
    """A whole number, also as 12.0, which some servers write; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return int(given) if isinstance(given, int) or given.is_integer() else None


def _first(*given: Any) -> Any:
    return next((figure for figure in given if figure is not None), None)


def _mapping(given: Any) -> Mapping[str, Any]:
    return given if isinstance(given, Mapping) else {}
