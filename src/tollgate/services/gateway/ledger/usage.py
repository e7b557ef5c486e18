"""The tokens of a call, read from an answer or a stream of either API. An upstream's figures are data, not the truth.

A figure that is negative, fractional, a truth value, a text or over its bound is not used, and neither is a missing or
zero figure where there was something to count. Our own count takes its place, and the usage is marked `estimated`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from tollgate.services.gateway.ledger.stated import Figure, chat, compactions, later, mapping, of_timings, of_usage

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
    """From the `usage` of a Messages answer, or the figures of a stream that `AnthropicStream` gathered.

    Anthropic bills a compaction of the conversation too, and counts it beside the top figures.
    """
    figures = mapping(usage)
    said = _message(figures, bounds)
    for compaction in compactions(figures):
        said = said.plus(_message(compaction, bounds), bounds)
    thinking = mapping(figures.get("output_tokens_details")).get("thinking_tokens")
    return _usage(said, thinking, seen, bounds)


def _message(figures: Mapping[str, Any], bounds: Bounds) -> _Said:
    details = mapping(figures.get("cache_creation"))
    hour = Figure(details.get("ephemeral_1h_input_tokens"), bounds.input)
    five = Figure(details.get("ephemeral_5m_input_tokens"), bounds.input)
    written = Figure(figures.get("cache_creation_input_tokens"), bounds.input)
    # The total rules. Writes that the details do not explain are the cheaper ones, of five minutes.
    total = written.value if written.usable else five.value + hour.value
    of_hour = min(hour.value, total)
    return _Said(
        plain=Figure(figures.get("input_tokens"), bounds.input),
        read=Figure(figures.get("cache_read_input_tokens"), bounds.input),
        five=total - of_hour,
        hour=of_hour,
        output=Figure(figures.get("output_tokens"), bounds.output),
        wrong=hour.wrong or five.wrong or written.wrong,
    )


def openai(usage: Any, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
    """From the `usage` of a chat completion or of embeddings, or of a stream that `OpenAIStream` gathered.

    `prompt_tokens` contains what the cache read and wrote.
    """
    stated = chat(usage, bounds.input, bounds.output)
    said = _Said(
        plain=stated.plain,
        read=stated.read,
        five=stated.written.value - stated.hour.value,
        hour=stated.hour.value,
        output=stated.output,
        wrong=stated.wrong,
    )
    return _usage(said, stated.reasoning.value, seen, bounds)


class AnthropicStream:
    """Gathers the figures of a Messages stream: message_start has the first, each message_delta cumulative ones."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}

    def feed(self, event: Mapping[str, Any]) -> None:
        """Any event of the stream; those without usage change nothing."""
        kind = event.get("type")
        if kind == "message_start":
            self._add(mapping(event.get("message")).get("usage"))
        elif kind == "message_delta":
            self._add(event.get("usage"))

    def _add(self, usage: Any) -> None:
        for name, value in mapping(usage).items():
            self.figures[name] = later(self.figures.get(name), value)

    def usage(self, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
        return anthropic(self.figures, seen, bounds)


class OpenAIStream:
    """Gathers the figures of a chat stream: one chunk has them, or each has those so far."""

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._timings: dict[str, Any] = {}

    @property
    def figures(self) -> dict[str, Any]:
        """In the shape of OpenAI's usage; empty if the upstream has counted nothing. A usage rules over timings."""
        return self._usage or self._timings

    def feed(self, chunk: Mapping[str, Any]) -> None:
        """Any chunk of the stream; those without usage change nothing."""
        if usage := of_usage(chunk):
            self._usage = later(self._usage, usage)
        elif timings := of_timings(chunk):
            self._timings = later(self._timings, timings)

    def usage(self, seen: Estimate, bounds: Bounds = ANYTHING) -> Usage:
        return openai(self.figures, seen, bounds)


@dataclass(frozen=True, slots=True)
class _Said:
    """The figures of a usage. `plain` is the input without what the cache read, and wrote for five minutes or an hour.

    No token is in two of them.
    """

    plain: Figure
    read: Figure
    five: int
    hour: int
    output: Figure
    wrong: bool

    def plus(self, other: _Said, bounds: Bounds) -> _Said:
        return _Said(
            self.plain.plus(other.plain, bounds.input),
            self.read.plus(other.read, bounds.input),
            self.five + other.five,
            self.hour + other.hour,
            self.output.plus(other.output, bounds.output),
            self.wrong or other.wrong,
        )


def _usage(said: _Said, hidden: Any, seen: Estimate, bounds: Bounds) -> Usage:
    cached = said.read.value + said.five + said.hour
    stated = said.plain.value + cached
    no_prompt = seen.input > 0 and (not said.plain.usable or not stated)
    no_output = seen.output > 0 and not said.output.value
    written = said.output.value
    if no_output or said.output.wrong:
        written = max(written, min(seen.output, bounds.output))
    reasoning = Figure(hidden, written).value
    if stated > bounds.input:
        return Usage(min(seen.input, bounds.input), written, reasoning=reasoning, estimated=True)
    doubtful = no_prompt or said.wrong or said.plain.wrong or said.read.wrong
    plain = max(said.plain.value, min(seen.input, bounds.input) - cached) if doubtful else said.plain.value
    estimated = doubtful or no_output or said.output.wrong
    return Usage(plain, written, said.read.value, said.five, said.hour, reasoning, estimated)
