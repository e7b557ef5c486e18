"""A fault of our own code: a refusal in our words, booked and counted, or an answer of LiteLLM's."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.support.scripted_upstream import CHAT_STREAM, JSON, STREAM, Answer, upstream, whole_chat, whole_message
from tests.unit.services.gateway.process import (
    catalogue,
    chat,
    messages,
    model,
    process,
    run,
)
from tollgate.services.gateway.convert import answer as chat_answer
from tollgate.services.gateway.convert import request as chat_request
from tollgate.services.gateway.convert.stream import ChatStream
from tollgate.services.gateway.passing import PassedMessages

HANDED = b'{"handed":"over"}'
WHOLE, WHOLE_CHAT = Answer([whole_message()], headers=JSON), Answer([whole_chat()], headers=JSON)


class OurFaultError(Exception):
    pass


def breaks(*_: Any, **__: Any) -> Any:
    raise OurFaultError("secret words of the client")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_fault_of_ours_is_a_500_in_our_words_booked_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    monkeypatch.setattr("tollgate.services.gateway.asking.targets.in_turn", breaks)

    async def test() -> None:
        async with upstream(WHOLE_CHAT) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            answer = await gateway.ask(path)
            assert answer.status == 500 and "gateway itself failed" in answer.told[2]
            assert answer.headers["x-should-retry"] == "false"
            assert b"Traceback" not in answer.text and b"secret" not in answer.text
            (booked,) = await gateway.ended()
            assert (booked.outcome.status, booked.outcome.error, booked.cost) == (500, "OurFaultError", 0)
            assert gateway.metric("refusals_total", code="gateway_failed") == 1

    run(test)
    assert "OurFaultError in " in caplog.text and "asking.py" in caplog.text
    assert "secret words" not in caplog.text


def test_a_fault_of_ours_in_the_middle_of_a_stream_is_an_error_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = PassedMessages.feed

    def second(self: PassedMessages, data: bytes) -> bytes:
        return breaks() if self.started else feed(self, data)

    monkeypatch.setattr(PassedMessages, "feed", second)

    async def test() -> None:
        first, *rest = STREAM.steps
        async with (
            upstream(Answer([first, 0.05, *rest])) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            answer = await gateway.ask(stream=True)
            assert answer.status == 200 and b"event: error" in answer.text
            (booked,) = await gateway.ended()
            assert (booked.outcome.error, booked.outcome.usage.input) == ("converter_stream", 11)

    run(test)
    assert "secret words" not in caplog.text


@pytest.mark.parametrize(
    ("stream", "where", "name", "reason"),
    [
        (False, chat_request, "to_chat", "converter_request"),
        (False, chat_answer, "to_messages", "converter_answer"),
        (True, ChatStream, "feed", "converter_answer"),
    ],
)
def test_what_the_converter_fails_at_is_handed_to_litellm(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    stream: bool,
    where: Any,
    name: str,
    reason: str,
) -> None:
    monkeypatch.setattr(where, name, breaks)
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with (
            upstream(CHAT_STREAM if stream else WHOLE_CHAT) as one,
            process(tmp_path, catalogue(model(chat(one)))) as gateway,
        ):
            assert (await gateway.ask(stream=stream)).text == HANDED
            assert gateway.metric("handovers_total", reason=reason) == 1
            booked = gateway.booked()
            assert not gateway.journal.running
            if reason == "converter_request":
                assert not booked, "no provider was asked"
            else:
                # Two providers bill the request: the one whose answer we could not read, and LiteLLM's.
                assert [(call.outcome.error, call.cost > 0) for call in booked] == [("HandedOver", True)]

    run(test)
    assert "the converter failed: OurFaultError" in caplog.text and "secret words" not in caplog.text
