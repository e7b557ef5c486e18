"""An answer that had begun and that the gateway gives up is booked, because its provider may bill it."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import (
    CUT,
    HANG,
    JSON,
    RESET,
    STREAM,
    Answer,
    Step,
    chunk,
    delta,
    error,
    event,
    start,
    text,
    upstream,
    whole_chat,
    whole_message,
)
from tests.unit.services.gateway.process import (
    QUESTION,
    Process,
    caller,
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)
from tests.unit.services.gateway.test_leaving import leave_when
from tollgate.services.gateway import bounded
from tollgate.services.gateway.ledger.lines import decode
from tollgate.services.gateway.ledger.price import Prices
from tollgate.services.requests.estimate import input_tokens

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"
# Nano-dollars for a token, as process.PRICES has them.
READ, WRITTEN = 1000, 5000
QUESTION_TOKENS = input_tokens(QUESTION)
WHOLE = Answer([whole_message()], headers=JSON)
BROKEN = Answer([b"x" * 80, CUT])
DEARER = Prices.of({"input": "0.00001", "output": "0.00005"})
NO_ARGUMENTS = {"id": "call_1", "type": "function", "function": {"name": "run", "arguments": "{half"}}
CALLED = {
    "message": {"role": "assistant", "content": None, "tool_calls": [NO_ARGUMENTS]},
    "finish_reason": "tool_calls",
}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.exchange.ANSWER_BYTES", 10_000)


async def lost(gateway: Process, count: int = 1) -> tuple[int, int, bool]:
    """The tokens of the last call, whose cost must be theirs."""
    booked = (await gateway.ended(count))[-1]
    usage = booked.outcome.usage
    assert booked.cost == usage.input * READ + usage.output * WRITTEN
    return usage.input, usage.output, usage.estimated


@pytest.mark.parametrize(
    ("steps", "tokens"),
    [
        ([b"x" * 5000] * 100, 60),  # too large; no more than was reserved
        ([b"x" * 80, HANG], 20),
        ([HANG], 0),
        ([b"x" * 80, CUT], 20),
        ([b"x" * 80, RESET], 20),
        ([b"x" * 80], 20),
        ([b"[" + b" " * 79], 20),
        ([b" " * 80], 20),
        ([b'{"content":5,"choices":5}'], 7),
    ],
)
@pytest.mark.parametrize(("path", "native"), [(MESSAGES, True), (MESSAGES, False), (CHAT, False)])
def test_a_whole_answer_that_is_given_up_is_booked(
    tmp_path: Path, steps: list[Step], tokens: int, path: str, native: bool
) -> None:
    async def test() -> None:
        async with upstream(Answer(steps, headers=JSON)) as one:
            at = (messages if native else chat)(one, timeout_s=0.3)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                answer = await gateway.ask(path)
                assert answer.status in (502, 503, 529)
                assert await lost(gateway) == (QUESTION_TOKENS, tokens, True)
                (booked,) = gateway.taken
                assert booked.failed and booked.outcome.status in (502, 529)

    run(test)


@pytest.mark.parametrize(
    "steps",
    [
        [HANG],
        [b": hm\n\n", CUT],
        [RESET],
        [],
        [b"data: ", *[b"x" * 5000] * 100],
        [b"data: {half\n\n"],
    ],
)
@pytest.mark.parametrize("native", [True, False])
def test_a_stream_that_is_given_up_before_its_first_byte_is_booked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: list[Step], native: bool
) -> None:
    monkeypatch.setattr("tollgate.services.gateway.passing.LINE_BYTES", 10_000)

    async def test() -> None:
        async with upstream(Answer(steps)) as one:
            at = (messages if native else chat)(one, timeout_s=0.3)
            async with process(tmp_path, catalogue(model(at))) as gateway:
                assert (await gateway.ask(stream=True)).status in (502, 529)
                assert await lost(gateway) == (QUESTION_TOKENS, 0, True)

    run(test)


@pytest.mark.parametrize(
    "first",
    [
        Answer(before=RESET),
        Answer(before=CUT),
        Answer([], 302, {"location": "/elsewhere"}),
        error(529, "overloaded_error"),
        Answer([b"x" * 100, CUT], 500),
        Answer([b"<html>"], headers={"content-type": "text/html"}),
        Answer([b'{"type":"error","error":{"type":"api_error","message":"no"}}'], headers=JSON),
    ],
)
@pytest.mark.parametrize("native", [True, False])
def test_twin_an_error_before_an_answer_and_an_error_that_is_told_are_free(
    tmp_path: Path, first: Answer, native: bool
) -> None:
    async def test() -> None:
        async with upstream(first) as one:
            served = catalogue(model((messages if native else chat)(one)))
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask()).status >= 400
                assert await lost(gateway) == (0, 0, False)

    run(test)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"choices": None}, CHAT),
        ({"choices": []}, MESSAGES),
        ({"choices": [CALLED]}, MESSAGES),
        ({"error": {"message": "the GPU is gone"}}, CHAT),
        ({"error": {"message": "the GPU is gone"}}, MESSAGES),
    ],
)
def test_what_a_provider_has_counted_is_booked_as_it_counted(tmp_path: Path, body: dict[str, Any], path: str) -> None:
    async def test() -> None:
        counted = {"usage": {"prompt_tokens": 11, "completion_tokens": 7}}
        async with (
            upstream(Answer([json.dumps({**body, **counted}).encode()], headers=JSON)) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            assert (await gateway.ask(path)).status >= 400
            assert await lost(gateway) == (11, 7, False)

    run(test)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("native", [True, False])
def test_an_answer_that_is_too_large_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool, native: bool
) -> None:
    """Every target and fallback would write it again, and so would every retry of the client."""
    monkeypatch.setattr("tollgate.services.gateway.passing.LINE_BYTES", 10_000)

    async def test() -> None:
        huge = Answer([b"data: ", *[b"x" * 5_000] * 2000])
        make = messages if native else chat
        async with upstream(huge) as one, upstream(WHOLE) as two:
            first = model(make(one), make(two, "two", order=2))
            opus = model(make(two, "three"), name="opus")
            rests = {"allowed_fails": 0, "cooldown_s": 60.0}
            served = catalogue(first, opus, fallbacks={"sonnet": ("opus",)}, longer={"sonnet": ("opus",)}, **rests)
            async with process(tmp_path, served) as gateway:
                for asked in (1, 2):
                    answer = await gateway.ask(stream=stream)
                    assert answer.told[:2] == (502, "api_error") and "too large" in answer.told[2]
                    assert answer.headers["x-should-retry"] == "false" and "retry-after" not in answer.headers
                    assert (len(one.asked), len(two.asked)) == (asked, 0), "the target does not rest"
                kind = "line_too_long" if stream else "too_large"
                assert gateway.metric("target_failures_total", target="one", kind=kind) == 2
                assert gateway.metric("refusals_total", code="provider_answer_too_large") == 2

    run(test)


def test_twin_after_a_broken_answer_the_next_target_is_asked(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(BROKEN) as one, upstream(WHOLE) as two:
            served = model(messages(one), messages(two, "two", order=2))
            async with process(tmp_path, catalogue(served, allowed_fails=0, cooldown_s=60.0)) as gateway:
                for _ in range(2):
                    assert (await gateway.ask()).status == 200
                assert (len(one.asked), len(two.asked)) == (1, 2)

    run(test)


def test_all_that_was_given_up_is_added_up(tmp_path: Path) -> None:
    """Each at the price of its own model, with the answer that the client gets."""

    async def test() -> None:
        async with upstream(BROKEN) as one, upstream(BROKEN) as two, upstream(BROKEN) as three, upstream(WHOLE) as four:
            opus = model(messages(three, "three"), messages(four, "four", order=2), name="opus", prices=DEARER)
            sonnet = model(messages(one), messages(two, "two", order=2))
            served = catalogue(sonnet, opus, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask()
                assert (answer.status, answer.text) == (200, whole_message())
                (booked,) = await gateway.ended()
                usage = booked.outcome.usage
                assert (usage.input, usage.output, usage.estimated) == (3 * QUESTION_TOKENS + 11, 3 * 20 + 7, True)
                given_up = QUESTION_TOKENS * READ + 20 * WRITTEN
                assert booked.cost == 2 * given_up + 10 * given_up + 10 * (11 * READ + 7 * WRITTEN)
                assert (booked.begun.target.id, booked.outcome.status, booked.failed) == ("four", 200, False)

    run(test)


@pytest.mark.parametrize(("daily", "then"), [(0.000_5, 429), (0.1, 529)])
def test_a_budget_counts_what_was_given_up(tmp_path: Path, daily: float, then: int) -> None:
    """An answer that is given up costs 0.000109 USD here, and four targets give one up."""

    async def test() -> None:
        async with upstream(BROKEN) as one:
            targets = [messages(one, name, order=at) for at, name in enumerate(("a", "b"))]
            opus = model(messages(one, "c"), messages(one, "d", order=2), name="opus")
            served = catalogue(model(*targets), opus, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served, caller({"daily_limit": daily})) as gateway:
                assert (await gateway.ask()).status == 529
                assert (await gateway.ended())[0].cost == 4 * (QUESTION_TOKENS * READ + 20 * WRITTEN)
                await gateway.ask()
                assert (await gateway.ask()).status == then

    run(test)


def test_a_client_that_leaves_a_whole_answer_pays_for_what_has_come(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer([b"x" * 80, HANG])) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            await leave_when(gateway, lambda: one.sent == 80)
            assert await lost(gateway) == (QUESTION_TOKENS, 20, True)
            assert gateway.taken[0].outcome.error == "ClientLeft"

    run(test)


def test_a_fault_of_ours_after_the_first_byte_is_booked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any) -> None:
        raise ValueError

    monkeypatch.setattr("tollgate.services.gateway.direct.stream_begins", breaks)

    async def test() -> None:
        async with upstream(STREAM) as one, process(tmp_path, catalogue(model(messages(one)))) as gateway:
            assert (await gateway.ask(stream=True)).status == 500
            assert (await lost(gateway))[:2] == (11, 7)

    run(test)


def test_a_process_that_dies_later_has_noted_what_was_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(BROKEN) as one, upstream(Answer([start(), text("half"), HANG])) as two:
            # A stream that broke off has no letters yet, so only its input is lost.
            one.answers(Answer([b": hm\n\n", CUT]))
            served = catalogue(model(messages(one), messages(two, "two", order=2)))
            async with process(tmp_path, served) as gateway, gateway.post(stream=True) as answer:
                await answer.content.readany()
                (running,) = gateway.journal._running.values()
                noted = decode(running.note.rstrip(b"\n"))
                assert noted is not None and noted["usage"][0] == QUESTION_TOKENS + 11

    run(test)


def test_litellm_answers_and_what_was_given_up_is_booked_here(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(BROKEN) as one:
            other = model(name="opus")
            served = catalogue(model(messages(one)), other, fallbacks={"sonnet": ("opus",)})
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask()).text == b'{"handed":"over"}'
                assert await lost(gateway) == (QUESTION_TOKENS, 20, True)
                assert gateway.taken[0].outcome.error == "HandedOver"

    run(test)


def many(count: int) -> bytes:
    return b"[" + b",".join([b"[]"] * count) + b"]"


@pytest.mark.parametrize("arguments", [False, True])
def test_millions_of_values_are_refused_before_they_are_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: bool
) -> None:
    """20 MB of empty lists need 430 MB. Tool arguments are JSON inside a string."""
    monkeypatch.setattr("tollgate.services.gateway.exchange.ANSWER_BYTES", 64 * 1024 * 1024)
    inside = many(6_700_000)
    assert len(inside) > 20_000_000
    function = b'{"id":"a","type":"function","function":{"name":"run","arguments":"{\\"a\\":%s}"}}'
    call = b'{"choices":[{"message":{"tool_calls":[%s]},"finish_reason":"tool_calls"}]}' % (function % inside)
    body = call if arguments else b'{"content":%s}' % inside

    async def test() -> None:
        async with (
            upstream(Answer([body], headers={**JSON, "content-length": str(len(body))})) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            tracemalloc.start()
            try:
                answer = await gateway.ask()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert answer.status == 502 and "too large" in answer.told[2]
            # The text a few times. To parse one, orjson asks for twelve times its size, and touches little of that.
            assert peak < (320_000_000 if arguments else 160_000_000)
            assert await lost(gateway) == (QUESTION_TOKENS, 60, True)

    run(test)


def test_twin_a_large_answer_with_few_values_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tollgate.services.gateway.exchange.ANSWER_BYTES", 64 * 1024 * 1024)

    async def test() -> None:
        large = whole_message("[]," * bounded.VALUES)
        async with (
            upstream(Answer([large], headers=JSON)) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            assert (await gateway.ask()).text == large
            assert await lost(gateway) == (11, 7, False)

    run(test)


def test_an_event_of_too_many_values_ends_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "VALUES", 1000)

    async def test() -> None:
        dense = chunk(choices=[{"index": 0, "delta": {"content": "hi", "more": [[]] * 1000}}])
        async with upstream(Answer([dense])) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            assert (await gateway.ask(stream=True)).status == 502
            one.answers(Answer([delta("half"), 0.05, dense]))
            assert b"event: error" in (await gateway.ask(stream=True)).text

    run(test)


def test_a_passed_event_of_too_many_values_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "VALUES", 1000)

    async def test() -> None:
        dense = event("message_delta", usage={"output_tokens": 99}, more=[[]] * 1000)
        first, middle, last = STREAM.steps
        async with (
            upstream(Answer([first, middle, dense, last])) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            assert dense in (await gateway.ask(stream=True)).text
            assert await lost(gateway) == (11, 7, False)

    run(test)


def test_both_apis_are_told_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(Answer([b"x" * 20_000])) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            for path in (MESSAGES, CHAT):
                answer = await gateway.ask(path)
                assert (answer.status, answer.headers["x-should-retry"]) == (502, "false")
            one.answers(Answer([whole_chat()], headers=JSON))
            assert (await gateway.ask(CHAT)).status == 200

    run(test)
