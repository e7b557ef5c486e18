"""A call that is answered without LiteLLM, before upstreams that answer by script: who is asked, and who is booked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.scripted_upstream import (
    CHAT_STREAM,
    CUT,
    JSON,
    RESET,
    STREAM,
    Answer,
    chat_end,
    delta,
    error,
    event,
    start,
    upstream,
    whole_chat,
    whole_message,
)
from tests.unit.services.gateway.process import catalogue, chat, messages, model, process, run

WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)
DOWN = error(529, "overloaded_error", "busy")
BUSY = event("error", error={"type": "overloaded_error", "message": "busy"})


def test_a_whole_answer_and_a_stream_pass_unchanged(tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            upstream(WHOLE, STREAM) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            whole = await gateway.ask()
            assert (whole.status, whole.text) == (200, whole_message())
            streamed = await gateway.ask(stream=True)
            assert streamed.text == b"".join(step for step in STREAM.steps if isinstance(step, bytes))
            booked = await gateway.ended(2)
            assert [(call.outcome.usage.input, call.outcome.usage.output) for call in booked] == [(11, 7)] * 2
            assert [call.cost for call in booked] == [11_000 + 7 * 5_000] * 2
            assert all(call.outcome.first_byte for call in booked)
            assert one.connections == 1, "the connection of a complete stream is used again"

    run(test)


@pytest.mark.parametrize("stream", [False, True])
def test_messages_are_translated_for_a_chat_upstream(tmp_path: Path, stream: bool) -> None:
    async def test() -> None:
        async with (
            upstream(CHAT_STREAM if stream else WHOLE_CHAT) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            answer = await gateway.ask(stream=stream)
            assert answer.status == 200 and b'"hi"' in answer.text
            assert one.asked[0].path == "/v1/chat/completions"
            (booked,) = await gateway.ended()
            assert (booked.outcome.usage.input, booked.outcome.usage.output) == (11, 7)

    run(test)


def test_a_chat_with_several_answers_is_one_call(tmp_path: Path) -> None:
    async def test() -> None:
        both = [delta("a"), delta("b", index=1), delta("", "stop", index=1), chat_end()]
        async with (
            upstream(Answer(both)) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            answer = await gateway.ask("/v1/chat/completions", stream=True, n=2)
            assert answer.text.count(b'"index": 1') == 2 and b"usage" not in answer.text
            assert one.asked[0].body["n"] == 2 and one.asked[0].body["stream_options"] == {"include_usage": True}
            assert (await gateway.ended())[0].outcome.usage.output == 7

    run(test)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("first", "lost"),
    [
        (DOWN, 0),
        (error(500), 0),
        (error(429, "rate_limit_error"), 0),
        (error(401, "authentication_error"), 0),
        (error(404), 0),
        (Answer(before=RESET), 0),
        (Answer(before=CUT), 0),
        (Answer([b"<html>gateway time-out</html>"], headers={"content-type": "text/html"}), 0),
        (Answer([]), 0),
        (Answer([start()[:20], CUT]), 5),
        (Answer([start()[:20], RESET]), 5),
        (Answer([], 302, {"location": "/elsewhere"}), 0),
        (Answer([b'{"type":"error","error":{"type":"api_error","message":"no"}}'], headers=JSON), 0),
        (Answer([BUSY]), -(-len(BUSY) // 4)),
        (Answer([event("ping"), BUSY]), -(-len(event("ping") + BUSY) // 4)),
        (Answer([b"x" * 300_000], 503), 0),
        (Answer([b"x"], 999), 0),
    ],
)
def test_another_target_answers_before_the_first_byte(tmp_path: Path, first: Answer, stream: bool, lost: int) -> None:
    """`lost` are the tokens of a whole answer that was given up. They are booked too."""

    async def test() -> None:
        async with upstream(first) as one, upstream(STREAM if stream else WHOLE) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)))
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask(stream=stream)
                assert answer.status == 200 and b'"hi"' in answer.text
                assert (len(one.asked), len(two.asked)) == (1, 1)
                (booked,) = await gateway.ended()
                written = 7 if stream else 7 + lost
                assert (booked.begun.target.id, booked.outcome.usage.output, booked.outcome.error) == (
                    "two",
                    written,
                    "",
                )

    run(test)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "first",
    [
        Answer([b"<html>"], headers={"content-type": "text/html"}),
        Answer([b""]),
        Answer([b'{"object":"error","message":"no","code":500}'], headers=JSON),
        Answer([b'data: {"error":{"message":"busy","code":503}}\n\n']),
        Answer([b": PROCESSING\n\n", b'data: {"object":"error","message":"busy","code":503}\n\n']),
        Answer([b"data: [DONE]\n\n"]),
    ],
)
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_chat_upstreams_200_without_an_answer_fails_over(
    tmp_path: Path, first: Answer, stream: bool, path: str
) -> None:
    async def test() -> None:
        async with upstream(first) as one, upstream(CHAT_STREAM if stream else WHOLE_CHAT) as two:
            served = catalogue(model(chat(one), chat(two, "two", order=2)))
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask(path, stream=stream)
                assert answer.status == 200 and b'"hi"' in answer.text and b"busy" not in answer.text
                assert (len(one.asked), len(two.asked)) == (1, 1)

    run(test)


def test_an_error_of_the_request_is_asked_once(tmp_path: Path) -> None:
    async def test() -> None:
        wrong = error(400, "invalid_request_error", "messages: bad", **{"x-should-retry": "false"})
        async with upstream(wrong) as one, upstream(WHOLE) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)))
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask()
                assert answer.told == (400, "invalid_request_error", "messages: bad")
                assert answer.headers["x-should-retry"] == "false"
                assert (len(one.asked), len(two.asked)) == (1, 0)

    run(test)


@pytest.mark.parametrize("status", [500, 503, 529])
def test_one_target_is_called_once_for_one_post(tmp_path: Path, status: int) -> None:
    """Claude Code retries by itself: our retries would multiply with its."""

    async def test() -> None:
        async with (
            upstream(error(status, "overloaded_error", "busy", **{"retry-after": "70"})) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask()
            assert answer.told == (status, "overloaded_error", "busy")
            assert answer.headers["retry-after"] == "70"
            assert len(one.asked) == 1
            (booked,) = await gateway.ended()
            assert (booked.cost, booked.outcome.status, booked.failed) == (0, status, True)

    run(test)


@pytest.mark.parametrize(("said", "after"), [("false", "3600"), ("true", "120")])
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("native", [True, False])
def test_what_a_provider_says_about_trying_again_reaches_the_client(
    tmp_path: Path, said: str, after: str, status: int, native: bool
) -> None:
    """Directly such an answer is one POST; a shorter wait in its place would be eleven."""

    async def test() -> None:
        failing = error(status, "api_error", "no", **{"retry-after": after, "x-should-retry": said})
        async with upstream(failing) as one:
            served = catalogue(model((messages if native else chat)(one)))
            async with process(tmp_path, served) as gateway:
                answer = await gateway.ask()
                assert (answer.headers["x-should-retry"], answer.headers["retry-after"]) == (said, after)
                assert len(one.asked) == 1

    run(test)


def test_the_last_targets_word_is_told_and_its_kind_counted(tmp_path: Path) -> None:
    async def test() -> None:
        async with upstream(DOWN) as one, upstream(error(401)) as two:
            served = catalogue(model(messages(one), messages(two, "two", order=2)))
            async with process(tmp_path, served) as gateway:
                assert (await gateway.ask()).status == 424
                assert gateway.metric("target_failures_total", target="one", kind="status_529") == 1
                assert gateway.metric("target_failures_total", target="two", kind="account") == 1
                assert gateway.metric("refusals_total", code="provider_refused_gateway") == 1

    run(test)


def test_an_error_event_first_passes_as_the_upstream_sent_it(tmp_path: Path) -> None:
    """Claude Code takes it better than a status: it asks again without streaming."""

    async def test() -> None:
        sent = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
        async with (
            upstream(Answer([sent])) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask(stream=True)
            assert (answer.status, answer.text) == (200, sent)
            (booked,) = await gateway.ended()
            assert booked.failed and booked.cost == 0

    run(test)


@pytest.mark.parametrize("where", ["usage", "x_groq"])
def test_a_whole_chat_answer_is_booked_by_the_usage_that_its_client_sees(tmp_path: Path, where: str) -> None:
    answer = json.loads(whole_chat())
    usage = answer.pop("usage")
    answer |= {"usage": usage} if where == "usage" else {"x_groq": {"usage": usage}}

    async def test() -> None:
        async with (
            upstream(Answer([json.dumps(answer).encode()], headers=JSON)) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            told = json.loads((await gateway.ask()).text)["usage"]
            (booked,) = await gateway.ended()
            counted = booked.outcome.usage
            assert (counted.input, counted.output, counted.estimated) == (11, 7, False)
            assert (told["input_tokens"], told["output_tokens"]) == (11, 7)

    run(test)
