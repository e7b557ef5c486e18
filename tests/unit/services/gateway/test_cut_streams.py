"""A stream that is cut after each of its events: the ledger counts the text that was streamed, and not much more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import delta, event
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.gateway.passing import PassedChat, PassedMessages

FOLDER = Path(__file__).parents[3] / "fixtures" / "chat_streams"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))
# For one event: a whole token, and what a server writes between the delta and its end.
AROUND = 60
WORDS = ("content", "text", "refusal", "reasoning", "reasoning_content", "arguments")
OPENAI = {"service_tier": "default", "system_fingerprint": None, "usage": None, "obfuscation": "x" * 200}


def events(name: str) -> list[bytes]:
    """Without half an event at the end, which no client gets."""
    data = (FOLDER / f"{name}.sse").read_bytes()
    parted = data.split(b"\n\n") if b"\n\n" in data else data.split(b"\n")
    end = b"\n\n" if b"\n\n" in data else b"\n"
    return [part + end for part in parted[:-1]]


def payload(one: bytes) -> Any:
    """The JSON of an event; an event can have several lines of data."""
    lines = [line.removeprefix(b"data:") for line in one.splitlines() if line.startswith(b"data:")]
    try:
        return json.loads(b"\n".join(lines))
    except ValueError:
        return None


def texts(value: Any, name: str = "") -> Iterator[str]:
    """The words for the client in a delta or a message, as far as servers write them in fields of their own."""
    if isinstance(value, dict):
        twice = {"reasoning_content", "reasoning_details"} if value.get("reasoning") else set()
        for inner, given in value.items():
            if inner not in twice:
                yield from texts(given, inner)
    elif isinstance(value, list):
        for given in value:
            yield from texts(given, name)
    elif isinstance(value, str) and name in WORDS:
        yield value


def deltas(one: bytes) -> list[Any]:
    chunk = payload(one)
    if not isinstance(chunk, dict) or chunk.get("error") or chunk.get("object") == "error":
        return []
    return [choice.get("delta") or choice.get("message") or {} for choice in chunk.get("choices") or ()]


def streamed(one: bytes) -> int:
    return sum(map(len, texts(deltas(one))))


def size(one: bytes) -> int:
    return AROUND + len(json.dumps(deltas(one)))


def passed() -> PassedChat:
    return PassedChat(wanted_usage=False)


def converted() -> ChatStream:
    return ChatStream(request={"messages": []}, model="m", message_id="msg_1", estimate=1)


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_is_cut_counts_what_was_streamed(name: str) -> None:
    direct, through, seen, most = passed(), converted(), 0, 0
    for one in events(name):
        direct.feed(one)
        through.feed(one)
        if direct.failed or through.failed:
            break
        seen, most = seen + streamed(one), most + size(one)
        assert seen <= direct.characters <= most
        if one.endswith(b"\n\n"):  # the converter waits for the end of an event
            assert through.characters == seen


def test_the_fixtures_have_text_of_every_kind() -> None:
    counts = {name: sum(map(streamed, events(name))) for name in NAMES}
    assert sum(count > 0 for count in counts.values()) > 25
    for name in ("openai_text", "openai_refusal", "openai_parallel_tools", "mistral_parts", "vllm_reasoning_and_tool"):
        assert counts[name] > 6, name
    assert counts["multi_line_data_without_done"] == len("multi") and not counts["html"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        OPENAI,
        {"usage": {"prompt_tokens": 9, "completion_tokens": 0}},
        {"error": None},
        {"x_groq": {"usage": None}},
    ],
)
@pytest.mark.parametrize("words", ["a", "word ", '"usage":{"error"} "delta": [DONE]', "x" * 4000, '"finish_reason":"'])
def test_the_other_fields_of_a_chunk_do_not_matter(more: dict[str, Any], words: str) -> None:
    stream = passed()
    for _ in range(10):
        stream.feed(delta(words, **more))
    escaped = len(json.dumps(words))
    assert 10 * len(words) <= stream.characters <= 10 * (escaped + 30)
    assert not stream.over and not stream.failed


def test_figures_are_found_beside_text_that_names_them() -> None:
    for spaces in ((",", ":"), (", ", ": "), (" , ", " : ")):
        stream = passed()
        choice = {"index": 0, "delta": {"content": "usage"}, "finish_reason": None}
        given = {"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
        stream.feed(b"data: " + json.dumps(given, separators=spaces).encode() + b"\n\n")
        assert stream.counted == {"prompt_tokens": 5, "completion_tokens": 2}


def test_several_answers_in_one_chunk_all_count() -> None:
    stream = PassedChat(wanted_usage=False, answers=2)
    both = [{"index": n, "delta": {"content": "x" * 100}, "finish_reason": None} for n in range(2)]
    stream.feed(b"data: " + json.dumps({"choices": both}).encode() + b"\n\n")
    assert stream.characters == 200


def test_chunks_without_text_are_no_text() -> None:
    stream = passed()
    stream.feed(b'data: {"choices":[],"prompt_filter_results":[{"content_filter_results":{"hate":{}}}]}\n\n')
    stream.feed(b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}\n\n')
    stream.feed(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n')
    assert stream.characters == 0


@pytest.mark.parametrize("spaces", [(",", ":"), (", ", ": ")])
@pytest.mark.parametrize("words", ["a", "word ", "x" * 4000])
def test_a_messages_stream_counts_what_was_streamed(spaces: tuple[str, str], words: str) -> None:
    fields = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}
    stream = PassedMessages()
    stream.feed(event("message_start", message={"usage": {"input_tokens": 1, "output_tokens": 1}}))
    for _ in range(10):
        stream.feed(b"data:" + json.dumps(fields, separators=spaces).encode() + b"\n\n")
    assert 10 * len(words) <= stream.characters <= 10 * (len(words) + 20)
