"""Streams of real servers, each with its right answer, in whatever pieces they come.

tests/fixtures/chat_streams holds pairs: NAME.sse as the server sends it, NAME.json with the answer or the failure.
"""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.support import messages_stream
from tollgate.services.gateway.convert import answer
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.gateway.convert.upstream_error import KINDS

FOLDER = Path(__file__).parents[4] / "fixtures" / "chat_streams"
NAMES = sorted(path.stem for path in FOLDER.glob("*.sse"))
ESTIMATE = 77
REQUEST = {"thinking": {"type": "adaptive"}, "stop_sequences": ["END"], "messages": [{"role": "user", "content": "?"}]}
EVENT = TypeAdapter(RawMessageStreamEvent)


def recorded(name: str) -> tuple[bytes, dict[str, Any]]:
    return (FOLDER / f"{name}.sse").read_bytes(), json.loads((FOLDER / f"{name}.json").read_text())


def convert(pieces: list[bytes], **more: Any) -> tuple[bytes, ChatStream]:
    stream = ChatStream(**{"request": REQUEST, "model": "m", "message_id": "msg_1", "estimate": ESTIMATE, **more})
    sent = b"".join(stream.feed(piece) for piece in pieces)
    return sent + stream.end(), stream


def outcome(sent: bytes, stream: ChatStream) -> dict[str, Any]:
    """In the shape of the fixtures."""
    message = messages_stream.read(sent)
    if stream.failed:
        return {"content": message.content, "failed": stream.failed, "error": message.error["type"]}
    return {"content": message.content, **message.delta, "usage": message.usage}


@pytest.mark.parametrize("name", NAMES)
def test_each_recorded_stream_has_its_right_answer(name: str) -> None:
    data, right = recorded(name)
    sent, stream = convert([data])
    assert outcome(sent, stream) == right
    assert stream.over
    assert stream.started is bool(sent and sent.startswith(b"event: message_start"))
    assert stream.stop_reason == right.get("stop_reason")


def test_the_fixtures_differ() -> None:
    """A converter that answers every stream alike, or never fails, would be seen."""
    answers = [recorded(name)[1] for name in NAMES]
    assert len({json.dumps(right) for right in answers}) > len(NAMES) * 0.7
    assert 15 < sum("failed" in right for right in answers) < 30
    reasons = {right.get("stop_reason") for right in answers}
    assert reasons >= {"end_turn", "tool_use", "max_tokens", "refusal", "stop_sequence"}


@pytest.mark.parametrize("name", NAMES)
def test_bytes_one_by_one_give_the_same(name: str) -> None:
    data, _ = recorded(name)
    sent, stream = convert([data[place : place + 1] for place in range(len(data))])
    whole, other = convert([data])
    assert (sent, stream.failed, stream.usage, stream.characters) == (
        whole,
        other.failed,
        other.usage,
        other.characters,
    )


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 6000), max_size=12))
def test_random_pieces_give_the_same(name: str, cuts: list[int]) -> None:
    data, _ = recorded(name)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    assert convert(pieces)[0] == convert([data])[0]


@pytest.mark.parametrize("name", NAMES)
def test_other_line_ends_spaces_and_parsers_give_the_same(name: str) -> None:
    data, _ = recorded(name)
    right = convert([data])[0]
    assert convert([data.replace(b"\n", b"\r\n")])[0] == right
    assert convert([b"\xef\xbb\xbf", data])[0] == right
    assert convert([re.sub(rb"(?m)^data: ", b"data:", data)])[0] == right
    assert convert([data], loads=orjson.loads)[0] == right
    crlf = data.replace(b"\n", b"\r\n")
    assert convert([crlf[place : place + 1] for place in range(len(crlf))], loads=orjson.loads)[0] == right


# The client refuses half an input, from Anthropic as well.
@pytest.mark.parametrize(
    "name", [name for name in NAMES if recorded(name)[1].get("stop_reason", "max_tokens") != "max_tokens"]
)
def test_the_official_client_reads_the_same(name: str) -> None:
    data, right = recorded(name)
    snapshot = None
    buffers: dict[int, bytes] = {}
    for event in messages_stream.events(convert([data])[0]):
        parsed = EVENT.validate_python(event)
        snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot is not None
    assert [block.model_dump(exclude_none=True) for block in snapshot.content] == right["content"]
    assert snapshot.usage.output_tokens == right["usage"]["output_tokens"]


@pytest.mark.parametrize("name", NAMES)
def test_no_word_of_the_upstreams_failure_reaches_the_client(name: str) -> None:
    data, right = recorded(name)
    sent, stream = convert([data])
    if "failed" not in right:
        assert b"event: error" not in sent
        return
    message = messages_stream.read(sent).error["message"]
    assert message == KINDS[right["failed"]][1] or message.startswith("prompt is too long: ")
    for word in ("10.0.0.7", "sk-abc", "CUDA", "Anthropic", "Bad Gateway", "litellm"):
        assert word not in message
    assert stream.failure is not None and str(stream.failure) == message


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_is_cut_never_looks_complete(name: str) -> None:
    """Cut before the finish reason, every stream is a failure. The twin of the right answers above."""
    data, right = recorded(name)
    if "failed" in right or data.startswith(b"{"):
        return
    finish = max(
        data.rfind(b'"finish_reason":"%b"' % word) for word in (b"stop", b"tool_calls", b"length", b"content_filter")
    )
    before = data.rfind(b"data:", 0, finish)
    sent, stream = convert([data[:before]])
    assert stream.failed in ("cut", "empty")
    assert messages_stream.read(sent).error["type"] == "api_error"


def test_a_whole_answer_and_its_stream_agree() -> None:
    data, right = recorded("whole_answer_instead_of_a_stream")
    message = answer.to_messages(answer.parse(data), request=REQUEST, model="m", message_id="msg_1", estimate=ESTIMATE)
    assert message["content"] == right["content"]
    assert message["usage"] == right["usage"]
