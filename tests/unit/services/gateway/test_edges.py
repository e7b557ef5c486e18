"""A disk that takes no line, and answers that are none: no answer, too large, without an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import JSON, STREAM, Answer, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import caller, catalogue, chat, messages, model, process, run
from tollgate.services.gateway.ledger.journal import Journal, JournalUnwritableError

WHOLE = Answer([whole_message()], headers=JSON)


def test_a_call_that_cannot_be_written_down_is_refused_and_counts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise JournalUnwritableError("full")

    async def test() -> None:
        who = caller({"requests_per_hour": 1, "max_parallel_requests": 1})
        async with upstream(WHOLE) as one, process(tmp_path, catalogue(model(messages(one))), who) as gateway:
            with monkeypatch.context() as patched:
                patched.setattr(Journal, "begin", full)
                status, kind, message = (await gateway.ask()).told
                assert (status, kind) == (529, "overloaded_error") and "write down" in message
                assert not one.asked
            assert (await gateway.ask()).status == 200

    run(test)


def test_an_end_is_written_before_the_client_has_the_last_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = Journal.end
    order: list[str] = []

    def noted(self: Journal, *given: Any) -> Any:
        order.append("written")
        return end(self, *given)

    monkeypatch.setattr(Journal, "end", noted)

    async def test() -> None:
        first, *rest = STREAM.steps
        slow = Answer([first, 0.1, *rest])
        async with upstream(slow, WHOLE) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            for stream in (True, False):
                async with gateway.post(stream=stream) as answer:
                    async for piece in answer.content.iter_any():
                        if piece.rstrip().endswith(b"}") and (b"message_stop" in piece or not stream):
                            order.append("last byte")
            assert order == ["written", "last byte"] * 2

    run(test)


@pytest.mark.parametrize("body", [b'{"content": "hi"}', b'{"choices": null}', b"[]", b'"hi"', b"5", b"{}"])
@pytest.mark.parametrize("native", [True, False])
def test_a_200_that_is_no_answer_is_a_529(tmp_path: Path, body: bytes, native: bool) -> None:
    async def test() -> None:
        async with upstream(Answer([body], headers=JSON)) as one:
            at = messages(one) if native else chat(one)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                answer = await gateway.ask()
                assert (answer.status, answer.headers["x-should-retry"]) == (529, "true")
                assert (await gateway.ended())[0].cost > 0, "its provider may bill it"

    run(test)


def test_halves_of_surrogate_pairs_in_an_answer_are_passed_on(tmp_path: Path) -> None:
    async def test() -> None:
        odd = whole_chat("WORD").replace(b"WORD", b"\\ud800 hi")
        async with (
            upstream(Answer([odd], headers=JSON)) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            answer = await gateway.ask()
            assert answer.status == 200 and b"hi" in answer.text

    run(test)


def test_a_huge_answer_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.exchange.ANSWER_BYTES", 10_000)

    async def test() -> None:
        async with (
            upstream(Answer([b"x" * 5000] * 100)) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask()
            assert (answer.status, answer.headers["x-should-retry"]) == (502, "false")
            assert gateway.metric("target_failures_total", target="one", kind="too_large") == 1
            assert (await gateway.ended())[0].cost > 0

    run(test)


@pytest.mark.parametrize("native", [True, False])
def test_an_event_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool) -> None:
    monkeypatch.setattr("tollgate.services.gateway.passing.LINE_BYTES", 10_000)

    async def test() -> None:
        async with upstream(Answer([b"data: ", *[b"x" * 5000] * 100])) as one:
            at = messages(one) if native else chat(one)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                path = "/v1/messages" if native else "/v1/chat/completions"
                assert (await gateway.ask(path, stream=True)).status == 502
                assert (await gateway.ended())[0].cost > 0

    run(test)


def test_a_huge_error_keeps_its_status(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer([b"x" * 50_000] * 100, 413)) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            assert (await gateway.ask()).status == 413

    run(test)


def test_an_error_that_never_ends_keeps_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.upstream.client.ERROR_S", 0.3)

    async def test() -> None:
        drip = [b"x", 0.05] * 200
        async with upstream(Answer(drip, 400)) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert (await gateway.ask()).status == 400
            assert await one.left()

    run(test)
