"""A client, the ledger and `cost_of` read the same tokens from an answer, whatever names its server uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support import messages_stream
from tollgate.services.gateway.convert import usage as shown
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.gateway.ledger import usage as booked
from tollgate.services.gateway.ledger.usage import Estimate
from tollgate.services.gateway.passing import PassedChat
from tollgate_client.call import StreamReader
from tollgate_client.messages import MessageEvent, MessageUsage
from tollgate_client.models import ChatChunk, Usage
from tollgate_client.part import leniently
from tollgate_client.prices import KINDS
from tollgate_client.usage_of import of_chunk, of_event

FOLDER = Path(__file__).parents[1] / "fixtures" / "chat_streams"
# Not a stream of data lines, and a text in parts, which the package does not read.
ONLY_CONVERTED = {"whole_answer_instead_of_a_stream", "mistral_parts"}
XAI = {
    "prompt_tokens": 100,
    "completion_tokens": 20,
    "total_tokens": 620,
    "completion_tokens_details": {"reasoning_tokens": 500},
}
Kinds = tuple[int, ...]


def kinds(tokens: Any) -> Kinds:
    return tuple(getattr(tokens, kind) for kind in KINDS)


def event(**chunk: Any) -> bytes:
    return f"data: {json.dumps(chunk)}\n\n".encode()


def streamed(data: bytes) -> tuple[ChatStream, dict[str, Any]]:
    """A chat stream for a Messages client: the stream, and the usage that the client sees."""
    stream = ChatStream(request={}, model="m", message_id="msg_1", estimate=0)
    return stream, messages_stream.read(stream.feed(data) + stream.end()).usage


def counted_by_the_client(data: bytes) -> Usage | None:
    reader, usage = StreamReader(ChatChunk, ""), None
    for chunk in reader.feed(data):
        usage = of_chunk(chunk, usage)
    assert usage is None or isinstance(usage, Usage)
    return usage


def in_each_place(data: bytes) -> dict[str, Kinds]:
    passed = PassedChat(wanted_usage=True)
    passed.feed(data)
    passed.end()
    converted, delta = streamed(data)
    own = counted_by_the_client(data) or Usage()
    return {
        "booked as it passes": kinds(booked.openai(passed.counted, Estimate())),
        "booked as converted": kinds(booked.openai(converted.counted, Estimate())),
        "shown": kinds(MessageUsage.model_validate(delta).tokens()),
        "cost_of": kinds(own.tokens()),
    }


def whole_in_each_place(stated: Any) -> dict[str, Kinds]:
    delta = shown.in_messages(shown.read({"usage": stated}) or shown.Tokens(), estimate=0, characters=0)
    return {
        "booked": kinds(booked.openai(stated, Estimate())),
        "shown": kinds(MessageUsage.model_validate(delta).tokens()),
        "cost_of": kinds(leniently(Usage, stated).tokens()),
    }


# ---- recorded streams

NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))


def has_usage(name: str) -> bool:
    stream, _ = streamed((FOLDER / f"{name}.sse").read_bytes())
    return stream.failed is None and stream.counted is not None


COUNTED = [name for name in NAMES if has_usage(name)]


@pytest.mark.parametrize("name", [name for name in COUNTED if name not in ONLY_CONVERTED])
def test_a_recorded_stream_has_the_same_tokens_in_each_place(name: str) -> None:
    found = in_each_place((FOLDER / f"{name}.sse").read_bytes())
    assert len(set(found.values())) == 1, found
    assert any(found["booked as it passes"])


@pytest.mark.parametrize("name", sorted(ONLY_CONVERTED))
def test_a_recorded_stream_that_only_the_converter_reads(name: str) -> None:
    stream, delta = streamed((FOLDER / f"{name}.sse").read_bytes())
    tokens = kinds(booked.openai(stream.counted, Estimate()))
    assert tokens == kinds(MessageUsage.model_validate(delta).tokens()) and any(tokens)


def test_many_recorded_streams_have_figures() -> None:
    assert len(COUNTED) >= 13 and {"llama_cpp_timings", "openai_text", "kimi_call_id"} <= set(COUNTED)


# ---- usages in all words

WRONG = st.sampled_from([None, -1, True, 1.5, "12", [], 10**15])
FIGURE = st.one_of(st.integers(0, 40), st.integers(0, 10**7), st.integers(0, 40).map(float), WRONG)


def words(*names: str, **details: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional={**dict.fromkeys(names, FIGURE), **details})


AGES = words("ephemeral_1h_input_tokens") | FIGURE
PROMPT = (
    words("cached_tokens", "cache_write_tokens", "cache_creation_tokens", cache_creation_token_details=AGES) | FIGURE
)
OUTPUT = words("reasoning_tokens") | FIGURE


@st.composite
def usages(draw: st.DrawFn) -> dict[str, Any]:
    usage = draw(
        words(
            *("prompt_tokens", "input_tokens", "completion_tokens", "output_tokens", "total_tokens"),
            *("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"),
            prompt_tokens_details=PROMPT,
            input_tokens_details=PROMPT,
            completion_tokens_details=OUTPUT,
            output_tokens_details=OUTPUT,
        )
    )
    if draw(st.booleans()):
        prompt, output, hidden = (draw(st.integers(0, 10**6)) for _ in range(3))
        usage |= {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output + hidden}
        usage["completion_tokens_details"] = {"reasoning_tokens": hidden}
    return usage


@given(usages())
@example(XAI)
@example({**XAI, "total_tokens": 120})
@example({"total_tokens": 1, "output_tokens_details": {"reasoning_tokens": 1}})
@example({"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 4})
@example({"prompt_tokens": 9, "cache_read_input_tokens": 40})
@example({"cached_tokens": 4, "completion_tokens": 2})
@example({"prompt_tokens": -1, "input_tokens": 9, "completion_tokens": 1})
@example(
    {
        "prompt_tokens": 90,
        "completion_tokens": 1,
        "prompt_tokens_details": {
            "cache_creation_tokens": 50,
            "cache_creation_token_details": {"ephemeral_1h_input_tokens": 20},
        },
    }
)
def test_a_whole_answer_has_the_same_tokens_in_each_place(stated: dict[str, Any]) -> None:
    found = whole_in_each_place(stated)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (XAI, (100, 520, 0, 0, 0)),
        ({**XAI, "total_tokens": 120}, (100, 20, 0, 0, 0)),
        ({**XAI, "completion_tokens": 520}, (100, 520, 0, 0, 0)),
        ({**XAI, "total_tokens": True}, (100, 20, 0, 0, 0)),
        ({**XAI, "completion_tokens": 0, "total_tokens": 600}, (100, 500, 0, 0, 0)),
        ({"input_tokens": 9, "output_tokens": 2, "cache_read_input_tokens": 4}, (5, 2, 4, 0, 0)),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2}, (5, 2, 4, 0, 0)),
        ({"prompt_tokens": 9, "cached_tokens": 10, "completion_tokens": 2}, (9, 2, 0, 0, 0)),
        (
            {
                "prompt_tokens": 90,
                "completion_tokens": 1,
                "cache_creation_input_tokens": 50,
                "prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 20}},
            },
            (40, 1, 0, 30, 20),
        ),
    ],
)
def test_the_tokens_of_each_dialect(stated: dict[str, Any], expected: Kinds) -> None:
    assert set(whole_in_each_place(stated).values()) == {expected}


# ---- streams


def stream_of(last: dict[str, Any], *before: dict[str, Any]) -> bytes:
    first = {"choices": [{"index": 0, "delta": {"content": "hello"}}]}
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    return b"".join(event(**first, **part) for part in before) + event(**end, **last) + b"data: [DONE]\n\n"


def part_of(usage: Any, share: int) -> Any:
    """The figures of a server before the end."""
    if isinstance(usage, dict):
        return {name: part_of(value, share) for name, value in usage.items()}
    return usage * share // 4 if type(usage) is int and usage > 0 else usage


@given(usages().filter(lambda usage: any(value is not None for value in usage.values())))
@example(XAI)
@example({"total_tokens": 1, "output_tokens_details": {"reasoning_tokens": 1}})
def test_a_stream_that_counts_in_each_chunk_has_the_same_tokens(stated: dict[str, Any]) -> None:
    data = stream_of({"usage": stated}, {"usage": part_of(stated, 1)}, {"usage": part_of(stated, 3)})
    found = in_each_place(data)
    in_the_message = found.pop("shown")
    assert len(set(found.values())) == 1, found
    # The client has seen text, so an output that the server does not count is counted by us.
    stream, _ = streamed(data)
    assert in_the_message == kinds(booked.openai(stream.counted, Estimate(0, stream.characters)))


def test_the_client_of_a_stream_sees_what_is_booked() -> None:
    data = stream_of({"usage": XAI}, {"usage": part_of(XAI, 2)}, {"usage": None})
    assert set(in_each_place(data).values()) == {(100, 520, 0, 0, 0)}


@pytest.mark.parametrize(
    ("last", "before", "expected"),
    [
        ({"x_groq": {"usage": {"prompt_tokens": 9, "completion_tokens": 2}}}, {"x_groq": {"id": "x"}}, (9, 2, 0, 0, 0)),
        ({"timings": {"prompt_n": 3, "predicted_n": 2, "cache_n": 1}}, {}, (3, 2, 1, 0, 0)),
        (
            {"timings": {"prompt_n": 3, "predicted_n": 2}},
            {"timings": {"prompt_n": 3, "predicted_n": 1}},
            (3, 2, 0, 0, 0),
        ),
        (
            {"usage": {"prompt_tokens": 9, "completion_tokens": 2}},
            {"timings": {"prompt_n": 99, "predicted_n": 99, "cache_n": 1}},
            (9, 2, 0, 0, 0),
        ),
        (
            {"timings": {"prompt_n": 99, "predicted_n": 99, "cache_n": 1}},
            {"usage": {"prompt_tokens": 9, "completion_tokens": 2}},
            (9, 2, 0, 0, 0),
        ),
    ],
)
def test_figures_in_other_places_of_a_stream(last: dict[str, Any], before: dict[str, Any], expected: Kinds) -> None:
    assert set(in_each_place(stream_of(last, before)).values()) == {expected}


# ---- Anthropic's compaction

COMPACTION = {"type": "compaction", "input_tokens": 180_000, "output_tokens": 3_500}
EXAMPLE = {
    "input_tokens": 23_000,
    "output_tokens": 1_000,
    "iterations": [COMPACTION, {"type": "message", "input_tokens": 23_000, "output_tokens": 1_000}],
}
ENTRY = st.fixed_dictionaries(
    {"type": st.sampled_from(["compaction", "message", "advisor_message"])},
    optional={
        **dict.fromkeys(("input_tokens", "output_tokens", "cache_read_input_tokens"), FIGURE),
        "cache_creation_input_tokens": FIGURE,
        "cache_creation": words("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens") | FIGURE,
    },
)


def test_a_compaction_costs_what_the_ledger_books() -> None:
    own, theirs = MessageUsage.model_validate(EXAMPLE).tokens(), booked.anthropic(EXAMPLE, Estimate())
    assert kinds(own) == kinds(theirs) == (203_000, 4_500, 0, 0, 0)


@given(ENTRY, st.lists(ENTRY | FIGURE, max_size=4) | FIGURE)
def test_any_iterations_cost_what_the_ledger_books(top: dict[str, Any], iterations: Any) -> None:
    stated = {**top, "iterations": iterations}
    own, theirs = leniently(MessageUsage, stated).tokens(), booked.anthropic(stated, Estimate())
    assert kinds(own) == kinds(theirs)


@pytest.mark.parametrize(
    "lists",
    [
        [[], EXAMPLE["iterations"]],
        [[COMPACTION], EXAMPLE["iterations"]],
        [EXAMPLE["iterations"], []],
        [EXAMPLE["iterations"], 5],
        ["odd", EXAMPLE["iterations"]],
    ],
)
def test_a_streamed_compaction_costs_what_the_ledger_books(lists: list[Any]) -> None:
    own, theirs = None, booked.AnthropicStream()
    for iterations in lists:
        delta = {"type": "message_delta", "usage": {**EXAMPLE, "iterations": iterations}}
        own = of_event(leniently(MessageEvent, delta), own)
        theirs.feed(delta)
    assert own is not None
    assert kinds(own.tokens()) == kinds(theirs.usage(Estimate())) == (203_000, 4_500, 0, 0, 0)
