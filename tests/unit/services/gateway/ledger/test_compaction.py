"""Anthropic bills a compaction of the conversation, and counts it beside the top figures of the usage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scripted_upstream import event
from tollgate.services.gateway.ledger.usage import AnthropicStream, Bounds, Estimate, Usage, anthropic
from tollgate.services.gateway.passing import PassedMessages

SEEN = Estimate(characters_in=401, characters_out=42)  # 101 and 11 tokens by our rule
COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}
MESSAGE = {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}
# Anthropic's own example.
EXAMPLE = {"input_tokens": 23_000, "output_tokens": 1_000, "iterations": [COMPACTION, MESSAGE]}
BILLED = Usage(203_000, 4_500)
WRONG = [-1, 10**15, 1.5, True, "12", [], {}]


def test_a_compaction_is_booked() -> None:
    assert anthropic(EXAMPLE, SEEN) == BILLED


def test_a_compaction_that_is_streamed_is_booked() -> None:
    stream = PassedMessages()
    start = {"input_tokens": 23_000, "output_tokens": 1, "iterations": []}
    stream.feed(event("message_start", message={"usage": start}))
    stream.feed(event("message_delta", delta={"stop_reason": "end_turn"}, usage=EXAMPLE))
    assert anthropic(stream.counted, SEEN) == BILLED


@pytest.mark.parametrize(
    ("lists", "billed"),
    [
        ([[COMPACTION], [COMPACTION, MESSAGE]], BILLED),
        ([[MESSAGE], [COMPACTION, MESSAGE]], BILLED),
        ([[COMPACTION, MESSAGE], []], BILLED),
        ([[COMPACTION, MESSAGE], None], BILLED),
        ([[COMPACTION, MESSAGE], 0], BILLED),
        (["odd", [COMPACTION, MESSAGE]], BILLED),
        ([[{**COMPACTION, "output_tokens": 1}], [COMPACTION]], BILLED),
        ([[COMPACTION, MESSAGE], [MESSAGE, MESSAGE]], Usage(23_000, 1_000)),
        ([[MESSAGE], "odd"], Usage(23_000, 1_000)),
    ],
)
def test_the_last_whole_list_of_a_stream_counts(lists: list[Any], billed: Usage) -> None:
    stream = AnthropicStream()
    for iterations in lists:
        stream.feed({"type": "message_delta", "usage": {**EXAMPLE, "iterations": iterations}})
    assert stream.usage(SEEN) == billed


def test_a_compaction_can_read_from_the_cache_and_write_into_it() -> None:
    cached = {
        "type": "compaction",
        "input_tokens": 5,
        "output_tokens": 7,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
    }
    said = {"input_tokens": 1, "output_tokens": 2, "cache_creation_input_tokens": 4, "iterations": [cached, cached]}
    assert anthropic(said, SEEN) == Usage(11, 16, 200, 24, 40)


def test_an_answer_that_is_a_compaction_only_is_not_estimated() -> None:
    said = {"input_tokens": 0, "output_tokens": 0, "iterations": [COMPACTION]}
    assert anthropic(said, SEEN) == Usage(180_000, 3_500)


@pytest.mark.parametrize("kind", ["message", "advisor_message", "fallback_message", "new", None, 5, ["compaction"]])
def test_twin_other_iterations_add_nothing(kind: Any) -> None:
    said = {"input_tokens": 10, "output_tokens": 5, "iterations": [{**COMPACTION, "type": kind}]}
    assert anthropic(said, SEEN) == Usage(10, 5)


@pytest.mark.parametrize("iterations", [None, 5, True, -1, "compaction", {}, COMPACTION, [], [5, None, [COMPACTION]]])
def test_twin_what_is_no_list_of_iterations_adds_nothing(iterations: Any) -> None:
    assert anthropic({**EXAMPLE, "iterations": iterations}, SEEN) == Usage(23_000, 1_000)


@pytest.mark.parametrize("figure", WRONG)
@pytest.mark.parametrize("name", ["input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"])
def test_a_wrong_figure_of_a_compactions_input_is_not_used(name: str, figure: Any) -> None:
    entry = {"type": "compaction", "output_tokens": 5, name: figure}
    said = {"input_tokens": 3, "output_tokens": 5, "iterations": [entry]}
    assert anthropic(said, SEEN) == Usage(101, 10, estimated=True)


@pytest.mark.parametrize("figure", WRONG)
def test_a_wrong_output_of_a_compaction_takes_nothing_from_the_answers(figure: Any) -> None:
    entry = {"type": "compaction", "input_tokens": 5, "output_tokens": figure}
    said = {"input_tokens": 3, "output_tokens": 50, "iterations": [entry]}
    assert anthropic(said, SEEN) == Usage(8, 50, estimated=True)
    assert anthropic({**said, "output_tokens": 2}, SEEN) == Usage(8, 11, estimated=True)


def test_figures_that_fit_one_by_one_and_not_together() -> None:
    bounds = Bounds(input=1_000, output=1_000)
    entry = {"type": "compaction", "input_tokens": 900, "output_tokens": 900}
    said = {"input_tokens": 900, "output_tokens": 900, "iterations": [entry]}
    assert anthropic(said, SEEN, bounds) == Usage(101, 11, estimated=True)
    assert anthropic({**said, "iterations": [{**entry, "cache_read_input_tokens": 900}]}, SEEN, bounds).prompt <= 1_000


FIGURE = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]))
ENTRY = st.fixed_dictionaries(
    {"type": st.sampled_from(["compaction", "message"])},
    optional={
        name: FIGURE | st.integers(0, 10**6)
        for name in ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    },
)
SAID = st.fixed_dictionaries({}, optional={"input_tokens": FIGURE, "iterations": st.lists(ENTRY | FIGURE) | FIGURE})


@given(SAID, SAID, st.integers(0, 10**7), st.integers(0, 10**7))
def test_whatever_is_said_every_figure_is_within_its_bound(first: Any, second: Any, read: int, written: int) -> None:
    bounds, seen = Bounds.of(context=200_000, output=64_000), Estimate(read, written)
    stream = AnthropicStream()
    for said in (first, second):
        stream.feed({"type": "message_delta", "usage": said})
    for found in (anthropic(first, seen, bounds), stream.usage(seen, bounds)):
        assert all(type(figure) is int and figure >= 0 for figure in found.plain())
        assert found.prompt <= bounds.input and found.output <= bounds.output
        assert (found.prompt or not seen.input) and (found.output or not seen.output)
