"""The tokens of a call: real shapes of both APIs, and upstreams that say what cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollgate.services.gateway.ledger.usage import (
    LARGEST,
    ROUNDS,
    UNSEEN,
    AnthropicStream,
    Bounds,
    Estimate,
    OpenAIStream,
    Usage,
    anthropic,
    openai,
)

SEEN = Estimate(characters_in=401, characters_out=42)  # 101 and 11 tokens by our rule
WRONG = [-1, -(10**15), 10**15, 1.5, True, False, "12", "", [], {}, float("nan"), float("inf"), 2**70]


# ---- Anthropic


def test_an_answer_of_anthropic() -> None:
    said = {
        "input_tokens": 12,
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 2000,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens": 50,
        "output_tokens_details": {"thinking_tokens": 40},
        "service_tier": "standard",
    }
    found = anthropic(said, SEEN)
    assert found == Usage(12, 50, 2000, 10, 20, 40)
    assert (found.cache_write, found.prompt) == (30, 2042)


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ({"cache_creation_input_tokens": 30}, (30, 0)),
        ({"cache_creation_input_tokens": 30, "cache_creation": None}, (30, 0)),
        ({"cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}}, (10, 20)),
        ({"cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_1h_input_tokens": 20}}, (10, 20)),
        ({"cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_1h_input_tokens": 90}}, (0, 30)),
        ({"cache_creation_input_tokens": 0, "cache_creation": {"ephemeral_1h_input_tokens": 90}}, (0, 0)),
    ],
)
def test_the_total_of_what_was_written_rules(said: dict[str, Any], written: tuple[int, int]) -> None:
    found = anthropic({"input_tokens": 5, "output_tokens": 1, **said}, SEEN)
    assert (found.cache_write_5m, found.cache_write_1h) == written and not found.estimated


def test_a_stream_of_anthropic_is_cumulative() -> None:
    stream = AnthropicStream()
    start = {"input_tokens": 10, "cache_read_input_tokens": 7, "output_tokens": 1, "cache_creation": {"x": 1}}
    stream.feed({"type": "message_start", "message": {"usage": start}})
    stream.feed({"type": "content_block_delta", "delta": {"text": "hello"}, "usage": {"output_tokens": 999}})
    stream.feed({"type": "ping"})
    stream.feed({"type": "message_delta", "usage": {"output_tokens": 20}})
    stream.feed(
        {"type": "message_delta", "usage": {"output_tokens": 50, "input_tokens": 0, "cache_creation": {"x": 2}}}
    )
    assert stream.usage(SEEN) == Usage(10, 50, 7)


def test_a_stream_that_says_its_input_at_the_end() -> None:
    """As servers do that translate from another API."""
    stream = AnthropicStream()
    stream.feed({"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}})
    stream.feed({"type": "message_delta", "usage": {"input_tokens": 90, "output_tokens": 8}})
    assert stream.usage(SEEN) == Usage(90, 8)


@pytest.mark.parametrize("broken", [{}, {"message": None}, {"message": {"usage": 5}}])
def test_a_stream_without_usage_is_counted_by_us(broken: dict[str, Any]) -> None:
    stream = AnthropicStream()
    stream.feed({"type": "message_start", **broken})
    stream.feed({"type": "message_delta", "usage": None})
    assert stream.usage(SEEN) == Usage(101, 11, estimated=True)


@pytest.mark.parametrize("order", [[-5, 20], [20, -5], ["x", 20], [20, "x"]])
def test_no_wrong_figure_undoes_a_good_one(order: list[Any]) -> None:
    stream = AnthropicStream()
    stream.feed({"type": "message_start", "message": {"usage": {"input_tokens": 10}}})
    for figure in order:
        stream.feed({"type": "message_delta", "usage": {"output_tokens": figure}})
    found = stream.usage(SEEN)
    assert found.input == 10 and found.output in (11, 20)


# ---- OpenAI


def test_an_answer_of_openai() -> None:
    said = {
        "prompt_tokens": 1000,
        "completion_tokens": 70,
        "total_tokens": 1070,
        "prompt_tokens_details": {"cached_tokens": 600, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64},
    }
    found = openai(said, SEEN)
    assert found == Usage(400, 70, 600, reasoning=64) and found.prompt == 1000


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"prompt_tokens_details": None}, Usage(100, 7)),
        ({"prompt_cache_hit_tokens": 30, "prompt_cache_miss_tokens": 70}, Usage(70, 7, 30)),
        ({"cached_tokens": 30}, Usage(70, 7, 30)),
        ({"prompt_tokens_details": {"cached_tokens": 30, "cache_write_tokens": 20}}, Usage(50, 7, 30, 20)),
        ({"prompt_tokens_details": {"cache_creation_tokens": 20}}, Usage(80, 7, 0, 20)),
        ({"completion_tokens": 7.0, "prompt_tokens": 100.0}, Usage(100, 7)),
        ({"completion_tokens_details": {"reasoning_tokens": 8}}, Usage(100, 7)),
    ],
)
def test_dialects_of_openai(said: dict[str, Any], expected: Usage) -> None:
    assert openai({"prompt_tokens": 100, "completion_tokens": 7, **said}, SEEN) == expected


def test_more_from_the_cache_than_there_was_is_not_believed() -> None:
    said = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1000}}
    assert openai(said, SEEN) == Usage(101, 5, estimated=True)
    assert openai(said, Estimate()) == Usage(10, 5, estimated=True)


def test_embeddings_have_no_output() -> None:
    assert openai({"prompt_tokens": 8, "total_tokens": 8}, Estimate(32, 0)) == Usage(8)


def test_a_chat_stream_says_it_once_or_with_every_chunk() -> None:
    once = OpenAIStream()
    for chunk in (
        {"choices": [{}]},
        {"choices": [], "usage": None},
        {"usage": {"prompt_tokens": 9, "completion_tokens": 4}},
    ):
        once.feed(chunk)
    every = OpenAIStream()
    for count in (1, 2, 4):
        every.feed({"usage": {"prompt_tokens": 9, "completion_tokens": count}})
    assert once.usage(SEEN) == every.usage(SEEN) == Usage(9, 4)


# ---- what cannot be


@pytest.mark.parametrize("figure", WRONG)
@pytest.mark.parametrize("name", ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"])
def test_a_wrong_figure_of_anthropics_input_is_replaced(name: str, figure: Any) -> None:
    found = anthropic({"input_tokens": 3, "output_tokens": 5, name: figure}, SEEN)
    assert found == Usage(101, 5, estimated=True)


@pytest.mark.parametrize("figure", WRONG)
def test_a_wrong_figure_of_what_was_written_is_replaced(figure: Any) -> None:
    details = {"ephemeral_5m_input_tokens": figure, "ephemeral_1h_input_tokens": 2}
    found = anthropic({"input_tokens": 3, "output_tokens": 5, "cache_creation": details}, SEEN)
    assert found == Usage(99, 5, cache_write_1h=2, estimated=True)


@pytest.mark.parametrize("figure", [*WRONG, None, 0])
def test_a_wrong_or_missing_or_zero_output_is_counted_by_us(figure: Any) -> None:
    assert anthropic({"input_tokens": 3, "output_tokens": figure}, SEEN) == Usage(3, 11, estimated=True)
    assert openai({"prompt_tokens": 3, "completion_tokens": figure}, SEEN) == Usage(3, 11, estimated=True)


@pytest.mark.parametrize("figure", [*WRONG, None, 0])
def test_a_wrong_or_missing_or_zero_prompt_is_counted_by_us(figure: Any) -> None:
    assert openai({"prompt_tokens": figure, "completion_tokens": 5}, SEEN) == Usage(101, 5, estimated=True)


@pytest.mark.parametrize("usage", [None, 5, "text", [], {}, True])
def test_no_usage_at_all(usage: Any) -> None:
    assert anthropic(usage, SEEN) == openai(usage, SEEN) == SEEN.usage() == Usage(101, 11, estimated=True)


def test_nothing_to_count_is_nothing() -> None:
    assert anthropic({"input_tokens": 0, "output_tokens": 0}, Estimate()) == Usage()
    assert anthropic(None, Estimate()) == Usage()


def test_what_the_cache_served_is_taken_from_our_count() -> None:
    assert anthropic({"cache_read_input_tokens": 60, "output_tokens": 1}, SEEN) == Usage(41, 1, 60, estimated=True)
    found = anthropic({"cache_read_input_tokens": 600, "output_tokens": 1}, SEEN)
    assert found == Usage(0, 1, 600, estimated=True)


def test_figures_that_fit_one_by_one_and_not_together() -> None:
    bounds = Bounds(input=1000, output=1000)
    said = {"input_tokens": 900, "cache_read_input_tokens": 900, "output_tokens": 5}
    assert anthropic(said, SEEN, bounds) == Usage(101, 5, estimated=True)
    assert anthropic(said, Estimate(10**9, 1), bounds) == Usage(1000, 5, estimated=True)


def test_bounds_come_from_the_model_or_from_what_was_seen() -> None:
    assert Bounds.of(context=200_000, output=64_000) == Bounds(ROUNDS * 200_000, ROUNDS * 64_000)
    assert Bounds.of(bytes_in=500, bytes_out=50) == Bounds(500 + UNSEEN, 50 + UNSEEN)
    assert Bounds.of(context=10**15, output=10**15) == Bounds(LARGEST, LARGEST)


def test_our_own_count_is_bounded_too() -> None:
    assert Estimate(10**12, 10**12).usage() == Usage(LARGEST, LARGEST, estimated=True)
    assert [Estimate(number).input for number in (0, 1, 4, 5)] == [0, 1, 1, 2]


FIGURE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}))
NAMES = [
    "input_tokens output_tokens cache_read_input_tokens cache_creation_input_tokens cache_creation",
    "prompt_tokens completion_tokens prompt_tokens_details completion_tokens_details cached_tokens",
]
WORDS = " ".join(NAMES).split()
DETAILS = ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens", "cached_tokens", "cache_write_tokens"]
SAID = st.dictionaries(
    st.sampled_from(WORDS), st.one_of(FIGURE, st.dictionaries(st.sampled_from(DETAILS), FIGURE)), max_size=8
)


@given(SAID, SAID, st.integers(0, 10**7), st.integers(0, 10**7))
def test_whatever_is_said_every_figure_is_a_small_whole_number(
    first: dict[str, Any], second: dict[str, Any], characters_in: int, characters_out: int
) -> None:
    bounds, seen = Bounds.of(context=200_000, output=64_000), Estimate(characters_in, characters_out)
    chat, messages = OpenAIStream(), AnthropicStream()
    for said in (first, second):
        chat.feed({"usage": said})
        messages.feed({"type": "message_delta", "usage": said})
    for found in (
        anthropic(first, seen, bounds),
        openai(first, seen, bounds),
        chat.usage(seen, bounds),
        messages.usage(seen, bounds),
    ):
        figures = found.plain()
        assert all(type(figure) is int and figure >= 0 for figure in figures)
        assert found.prompt <= bounds.input and found.output <= bounds.output and found.reasoning <= found.output
        assert found.prompt or not seen.input
        assert found.output or not seen.output
        assert Usage.from_plain(figures) == found
