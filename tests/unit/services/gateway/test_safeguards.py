"""Safeguards of Claude Code's auto mode: a native upstream answers them, and a chat server never sees them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from tests.support.scripted_upstream import (
    CHAT_STREAM,
    JSON,
    Answer,
    Step,
    event,
    start,
    text,
    upstream,
    whole_chat,
    whole_message,
)
from tests.unit.services.gateway.process import catalogue, chat, messages, model, process, run
from tollgate.services.gateway.record import JsonLines

HOME = "/home/alice-of-the-safeguards"
ASKED = [{"type": "dangerous_tool_use", "classifier_context": {"home_dir": HOME, "rule_roots": [HOME, "ü"]}}]
BETA = "dangerous-tool-use-2026-09-03"
OUTCOME = {"type": "evaluated", "outcome": "flagged", "explanation": "ü", "of_next_year": [1.50, None]}
RESULTS = [{"type": "dangerous_tool_use", "status": {"type": "available", "tool_uses": {"toolu_1": OUTCOME}}}]
WHOLE = json.dumps({**json.loads(whole_message()), "safeguard_results": RESULTS}).encode()
ENDING = {"stop_reason": "tool_use", "stop_sequence": None, "safeguard_results": RESULTS}
STREAMED = [
    start(),
    text("hi"),
    event("message_delta", delta=ENDING, usage={"output_tokens": 7}),
    event("message_stop"),
]
NATIVE = {False: [WHOLE], True: STREAMED}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def answer(steps: list[bytes], stream: bool) -> Answer:
    kept: list[Step] = [*steps]
    return Answer(kept, headers={"content-type": "text/event-stream"} if stream else JSON)


@BOTH
def test_question_and_results_pass_a_native_upstream_unchanged(
    tmp_path: Path, stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        async with (
            upstream(answer(NATIVE[stream], stream)) as one,
            process(tmp_path, catalogue(model(messages(one)))) as gateway,
        ):
            reply = await gateway.ask(stream=stream, safeguards=ASKED, headers={"anthropic-beta": BETA})
            assert (reply.status, reply.text) == (200, b"".join(NATIVE[stream]))
            (asked,) = one.asked
            assert asked.body["safeguards"] == ASKED
            assert asked.headers["anthropic-beta"] == BETA

    run(test)
    written = "\n".join(JsonLines().format(record) for record in caplog.records)
    assert '"route":"direct"' in written
    assert HOME not in written


@BOTH
def test_a_chat_server_gets_no_question_and_gives_no_result(tmp_path: Path, stream: bool) -> None:
    async def test() -> None:
        served = CHAT_STREAM if stream else Answer([whole_chat()], headers=JSON)
        async with upstream(served) as one, process(tmp_path, catalogue(model(chat(one)))) as gateway:
            reply = await gateway.ask(stream=stream, safeguards=ASKED, headers={"anthropic-beta": BETA})
            assert (reply.status, b"safeguard" in reply.text) == (200, False)
            (asked,) = one.asked
            assert not any(word in asked.text for word in (b"safeguard", b"classifier_context", HOME.encode()))
            assert "anthropic-beta" not in asked.headers

    run(test)
