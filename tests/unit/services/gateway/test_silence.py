"""Pings before the first byte of a stream, and what comes after them: an answer, another target, a refusal, LiteLLM."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import (
    CHAT_STREAM,
    JSON,
    STREAM,
    Answer,
    chat_end,
    delta,
    end,
    error,
    start,
    text,
    upstream,
    whole_message,
)
from tests.unit.services.gateway.process import catalogue, chat, messages, model, process, run

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
PING = b": ping\n\n"
EVENTS = {"content-type": "text/event-stream"}
WHOLE_STREAM = start() + text("hi") + end()
LATE = 0.35


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pings are due before an upstream that is LATE answers."""
    monkeypatch.setattr("tollgate.services.gateway.silence.PING_S", 0.1)


def late(answer: Answer) -> Answer:
    return Answer(answer.steps, answer.status, answer.headers, before=LATE)


def after_the_pings(answer: Any) -> bytes:
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    pings, rest = answer.text.count(PING), answer.text.replace(PING, b"")
    assert pings >= 2
    assert answer.text == PING * pings + rest, "a ping came after the answer began"
    return bytes(rest)


def test_a_silence_before_the_first_byte_is_filled_with_comments(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(late(STREAM)) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            answer = await gateway.ask(stream=True)
            assert after_the_pings(answer) == WHOLE_STREAM
            assert answer.headers["request-id"]
            assert [call.outcome.status for call in await gateway.ended()] == [200]

    run(test)


def test_a_silence_before_the_first_byte_of_a_chat_stream(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(late(CHAT_STREAM)) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            rest = after_the_pings(await gateway.ask(CHAT, stream=True, stream_options={"include_usage": True}))
            assert rest.strip() == (delta("hi") + chat_end()).strip()

    run(test)


def test_a_stream_that_begins_with_comments_of_its_upstream_gets_ours_too(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Answer([b": PROCESSING\n\n", LATE, start(), text("hi"), end()], headers=EVENTS)
        async with upstream(slow) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert (await gateway.ask(stream=True)).text.startswith(PING * 2)

    run(test)


@pytest.mark.parametrize(("path", "first"), [(MESSAGES, b"event: error\ndata: "), (CHAT, b"data: ")])
def test_a_refusal_after_a_ping_is_the_last_event(tmp_path: Path, path: str, first: bytes) -> None:
    async def test() -> None:
        refused = late(error(400, "invalid_request_error", "wrong"))
        async with upstream(refused) as one:
            made = messages(one) if path == MESSAGES else chat(one)
            async with process(tmp_path, catalogue(model(made))) as gateway:
                rest = after_the_pings(await gateway.ask(path, stream=True))
                assert rest.startswith(first) and rest.endswith(b"\n\n")
                told = json.loads(rest.removeprefix(first))
                assert told["error"]["type"] == "invalid_request_error" and "wrong" in told["error"]["message"]
                assert [call.outcome.status for call in await gateway.ended()] == [400]

    run(test)


def test_twin_a_refusal_in_time_has_its_status(tmp_path: Path) -> None:
    async def test() -> None:
        refused = error(400, "invalid_request_error", "wrong")
        async with upstream(refused) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            answer = await gateway.ask(stream=True)
            assert answer.status == 400 and PING not in answer.text

    run(test)


def test_twin_an_answer_that_is_no_stream_waits_without_pings(tmp_path: Path) -> None:
    async def test() -> None:
        whole = late(Answer([whole_message()], headers=JSON))
        async with upstream(whole) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            answer = await gateway.ask()
            assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
            assert answer.json["content"][0]["text"] == "hi"

    run(test)


def test_another_target_answers_after_a_ping(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(late(error(503))) as one, upstream(STREAM) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)))
            async with process(tmp_path, served) as gateway:
                assert after_the_pings(await gateway.ask(stream=True)) == WHOLE_STREAM

    run(test)


@pytest.mark.parametrize(
    ("litellm", "rest"),
    [
        (STREAM, WHOLE_STREAM),
        (Answer([b'{"type":"error",\n"error":', b'{"type":"x"}}'], 529, JSON), None),
        (Answer([b"{}"], 500, JSON), None),
    ],
    ids=["a stream", "a refusal in two pieces", "a short refusal"],
)
def test_litellm_answers_after_a_ping(tmp_path: Path, litellm: Answer, rest: bytes | None) -> None:
    async def test() -> None:
        async with upstream(late(error(503))) as one:
            handed_over = model(name="other", reason="provider")
            served = catalogue(model(messages(one)), handed_over, fallbacks={"sonnet": ("other",)})
            async with process(tmp_path, served) as gateway:
                gateway.litellm.answers(litellm)
                told = after_the_pings(await gateway.ask(stream=True))
                assert len(gateway.litellm.asked) == 1
                whole = b"".join(step for step in litellm.steps if isinstance(step, bytes)).replace(b"\n", b" ")
                assert told == (rest or b"event: error\ndata: " + whole + b"\n\n")

    run(test)


def test_a_client_that_leaves_between_pings_ends_the_upstreams_call(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer(STREAM.steps, 200, EVENTS, before=20.0)) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.post(stream=True)
            assert await answer.content.readexactly(len(PING)) == PING
            answer.close()
            assert await one.left()
            assert [call.outcome.status for call in await gateway.ended()] == [499]

    run(test)
