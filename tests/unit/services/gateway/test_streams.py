"""Streams that fall silent, break off or come faster than the client reads."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.support.scripted_upstream import (
    CHAT_STREAM,
    CUT,
    HANG,
    JSON,
    RESET,
    STREAM,
    Answer,
    Step,
    delta,
    end,
    event,
    start,
    text,
    upstream,
    whole_message,
)
from tests.unit.services.gateway.process import KEY, QUESTION, catalogue, chat, messages, model, process, run

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"


def errors(text: bytes) -> list[str]:
    """The error messages of a stream, of either API."""
    data = [json.loads(line[5:]) for line in text.split(b"\n") if line.startswith(b"data:") and b"[DONE]" not in line]
    return [one["error"]["message"] for one in data if "error" in one]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("silent", [Answer(before=HANG), Answer([HANG])])
def test_a_silent_upstream_is_given_up_for_another(tmp_path: Path, stream: bool, silent: Answer) -> None:
    async def test() -> None:
        async with (
            upstream(silent) as one,
            upstream(STREAM if stream else Answer([whole_message()], headers=JSON)) as two,
        ):
            served = catalogue(model(messages(one, timeout_s=0.2), messages(two, "two", order=2)))
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask(stream=stream)).status == 200
                assert await one.left(), "the upstream must not go on for nobody"
                assert gateway.metric("target_failures_total", target="one", kind="timeout") == 1

    run(test)


@pytest.mark.parametrize("filler", [event("ping"), b": PROCESSING\n\n"])
def test_pings_and_comments_are_no_first_byte(tmp_path: Path, filler: bytes) -> None:
    """An upstream that only says that it is alive has `timeout_s`, like one that says nothing."""

    async def test() -> None:
        alive: list[Step] = [filler, 0.05] * 100
        async with upstream(Answer(alive)) as one:
            served = catalogue(model(messages(one, timeout_s=0.4)))
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask(stream=True)).status == 529
                assert await one.left()

    run(test)


@pytest.mark.parametrize(("path", "native"), [(MESSAGES, True), (MESSAGES, False), (CHAT, False)])
@pytest.mark.parametrize("how", [HANG, CUT, RESET])
def test_a_stream_that_breaks_off_ends_with_an_error(tmp_path: Path, path: str, how: str, native: bool) -> None:
    async def test() -> None:
        begun: list[Step] = [start(), text("half")] if native else [delta("half"), delta("more")]
        async with upstream(Answer([*begun, 0.05, how])) as one:
            at = messages(one, timeout_s=0.3) if native else chat(one, timeout_s=0.3)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                answer = await gateway.ask(path, stream=True)
                assert answer.status == 200 and b"half" in answer.text
                assert len(errors(answer.text)) == 1
                (booked,) = await gateway.ended()
                assert booked.failed and booked.outcome.usage.output > 0 and booked.cost > 0
                assert await gateway.shows(1, "cut_answers_total", model="sonnet")

    run(test)


@pytest.mark.parametrize("path", [MESSAGES, CHAT])
def test_a_stream_that_just_stops_is_no_end(tmp_path: Path, path: str) -> None:
    async def test() -> None:
        async with upstream(Answer([delta("half")])) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            answer = await gateway.ask(path, stream=True)
            assert len(errors(answer.text)) == 1 and b"end_turn" not in answer.text

    run(test)


@pytest.mark.parametrize("stream", [STREAM, CHAT_STREAM])
def test_twin_a_complete_stream_has_no_error(tmp_path: Path, stream: Answer) -> None:
    async def test() -> None:
        async with upstream(stream) as one:
            at = messages(one) if stream is STREAM else chat(one)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                assert errors((await gateway.ask(stream=True)).text) == []

    run(test)


def test_a_chat_that_ends_without_done_but_with_a_finish_is_whole(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer([delta("hi"), 0.05, delta("", "stop")])) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            answer = await gateway.ask(CHAT, stream=True)
            assert errors(answer.text) == []
            assert not (await gateway.ended())[0].failed

    run(test)


def test_half_an_event_before_a_cut_does_not_hide_the_error(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer([start(), text("half"), 0.05, text("lost")[:40], 0.05, CUT])) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask(stream=True)
            assert answer.text.startswith(start() + text("half") + b"event: error\n")
            assert len(errors(answer.text)) == 1

    run(test)


def test_an_error_event_in_the_middle_passes_as_it_came(tmp_path: Path) -> None:
    async def test() -> None:
        sent = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        async with (
            upstream(Answer([start(), text("half"), 0.05, sent, HANG])) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask(stream=True)
            assert answer.text == start() + text("half") + sent
            (booked,) = await gateway.ended()
            assert (booked.outcome.error, booked.outcome.usage.input) == ("error", 11)
            assert await one.left()

    run(test)


@pytest.mark.parametrize("path", [MESSAGES, CHAT])
def test_a_chat_error_in_the_middle_is_no_end(tmp_path: Path, path: str) -> None:
    async def test() -> None:
        sent = b'data: {"object":"error","message":"out of memory on gpu7","code":500}\n\n'
        async with (
            upstream(Answer([delta("half"), 0.05, sent])) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            answer = await gateway.ask(path, stream=True)
            assert b"end_turn" not in answer.text and b"error" in answer.text
            assert (await gateway.ended())[0].failed

    run(test)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_letters_that_are_cut_in_half_arrive_whole(tmp_path: Path, piece: int) -> None:
    async def test() -> None:
        raw = (start() + text("WORDS") + end()).replace(b"WORDS", "Grüße 🐟 日本".encode())
        steps = [raw[at : at + piece] for at in range(0, len(raw), piece)]
        async with upstream(Answer(steps)) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert (await gateway.ask(stream=True)).text == raw

    run(test)


def test_a_silence_is_filled_with_pings_between_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.silence.PING_S", 0.1)

    async def test() -> None:
        half = text("hello")
        steps: list[Step] = [start(), 0.35, half[:30], 0.35, half[30:], end()]
        async with upstream(Answer(steps)) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            answer = await gateway.ask(stream=True)
            ping = b'event: ping\ndata: {"type": "ping"}\n\n'
            assert answer.text.count(ping) >= 4
            assert answer.text.replace(ping, b"") == start() + half + end()

    run(test)


def test_our_pings_do_not_make_a_silent_upstream_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.silence.PING_S", 0.1)

    async def test() -> None:
        async with (
            upstream(Answer([start(), HANG])) as one,
            process(tmp_path, catalogue(model(messages(one, timeout_s=0.5)))) as gateway,
        ):
            answer = await gateway.ask(stream=True)
            assert 3 <= answer.text.count(b"event: ping") <= 6 and len(errors(answer.text)) == 1
            assert await one.left()

    run(test)


def test_a_client_that_reads_slowly_stops_the_upstream(tmp_path: Path) -> None:
    """Memory stays bounded: what the client has not read stays at the upstream."""

    async def test() -> None:
        many: list[Step] = [start(), *([text("x" * 50_000)] * 1200), end()]
        async with upstream(Answer(many)) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            host, port = gateway.url.removeprefix("http://").split(":")
            reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
            body = json.dumps({**QUESTION, "stream": True}).encode()
            head = f"POST {MESSAGES} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            await reader.readexactly(100)
            before = -1
            while one.sent != before:
                before = one.sent
                await asyncio.sleep(0.5)
            assert one.sent < 30_000_000, "of 60 MB: buffers of sockets, and ours"
            writer.transport.abort()
            assert await one.left()
            assert (await gateway.ended())[0].outcome.status == 499

    run(test)
