"""The line that each request leaves in the log: complete, once, and without a key, a prompt or an answer."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.gateway_process import CREDENTIAL, KEY, METRICS_KEY, Process, caller, running
from tollgate.services.gateway import outgoing, record
from tollgate.services.gateway.catalogue import Protocol
from tollgate.services.gateway.record import Record, tokens

PROMPT, ANSWER = "the prompt nobody may read", "the answer nobody may read"
ASKED = {"model": "fast", "max_tokens": 9, "messages": [{"role": "user", "content": PROMPT}]}
USAGE = {"input_tokens": 10, "output_tokens": 4, "cache_read_input_tokens": 3}
MESSAGE = {"type": "message", "content": [{"type": "text", "text": ANSWER}], "usage": USAGE}
CHAT = {
    "choices": [{"message": {"role": "assistant", "content": ANSWER}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 4},
}
SECRETS = (KEY, CREDENTIAL, METRICS_KEY, PROMPT, ANSWER)


async def messages(request: web.Request) -> web.StreamResponse:
    answers = {"/v1/messages": MESSAGE, "/v1/messages/count_tokens": {"input_tokens": 10}}
    return web.json_response(answers.get(request.path, CHAT))


async def words(request: web.Request) -> web.StreamResponse:
    """An upstream that refuses and quotes everything it knows."""
    said = {"type": "error", "error": {"type": "api_error", "message": f"{PROMPT} {CREDENTIAL} {KEY}"}}
    return web.json_response(said, status=500)


async def cut(request: web.Request) -> web.StreamResponse:
    """A stream that ends in the middle of its answer."""
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    start = {"type": "message_start", "message": {"usage": USAGE}}
    text = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": ANSWER}}
    for event in (start, text):
        await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
    return answer


def lines(process: Process) -> list[dict[str, Any]]:
    return [line for line in process.lines if line["message"] == "call"]


def test_a_direct_call_leaves_one_line(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, messages) as process:
            assert (await process.ask(ASKED)).status == 200
            [line] = lines(process)
            assert line["first_byte_ms"] <= line["duration_ms"]
            assert re.fullmatch("[0-9a-f]{32}", line["call_id"])
            for name in ("timestamp", "call_id", "first_byte_ms", "duration_ms"):
                del line[name]
            assert line == {
                "message": "call",
                "level": "INFO",
                "request_id": "id-1",
                "tenant": "acme",
                "key": "laptop",
                "model": "fast",
                "route": "direct",
                "target": "fast:1",
                "answered_by": "fast",
                "status": 200,
                "tokens": {"input": 10, "output": 4, "cache_read": 3},
                "cost_usd": "0.000033000",
            }

    asyncio.run(go())


@pytest.mark.parametrize(
    ("asked", "path", "expected"),
    [
        ({**ASKED, "model": "far"}, "/v1/messages", {"route": "litellm", "reason": "provider", "status": 200}),
        (ASKED, "/v1/messages/count_tokens", {"route": "count", "target": "fast:1", "status": 200}),
        ({**ASKED, "model": "slow"}, "/v1/messages", {"model": "slow", "answered_by": "fast", "target": "fast:1"}),
        ({**ASKED, "model": "quick"}, "/v1/messages", {"model": "fast", "status": 200}),
        ({**ASKED, "model": "nobody-has-it"}, "/v1/messages", {"status": 403, "code": "model_not_allowed"}),
        ({**ASKED, "api_key": "x"}, "/v1/messages", {"status": 400, "code": "invalid_request"}),
    ],
)
def test_every_way_that_a_request_can_go(tmp_path: Path, asked: Any, path: str, expected: dict[str, Any]) -> None:
    async def go() -> None:
        async with running(tmp_path, messages) as process:
            await process.ask(asked, path)
            [line] = lines(process)
            assert line.items() >= expected.items()

    asyncio.run(go())


@pytest.mark.parametrize("asked", [{**ASKED, "model": PROMPT}, {**ASKED, "temperature": PROMPT, "api_key": CREDENTIAL}])
def test_a_refusal_has_a_sentence_without_the_clients_words(tmp_path: Path, asked: Any) -> None:
    async def go() -> None:
        async with running(tmp_path, messages) as process:
            assert (await process.ask(asked)).status in (400, 403)
            [line] = lines(process)
            assert line["sentence"].startswith(("The request named a model", "The gateway or the provider could not"))
            assert [secret for secret in (PROMPT, CREDENTIAL) if secret in line["sentence"]] == []

    asyncio.run(go())


def test_an_unknown_key_leaves_no_line(tmp_path: Path) -> None:
    """A flood of them must not fill the disk. nginx's own log has each."""

    async def go() -> None:
        async with running(tmp_path, messages) as process:
            assert (await process.ask(ASKED, key="sk-nobody-has-this-key")).status == 401
            assert process.lines == []
            assert process.metrics()['tollgate_gateway_refusals_total{code="key_unknown"}'] == 1

    asyncio.run(go())


def test_no_line_has_a_key_a_prompt_or_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise ValueError(f"{PROMPT} {KEY}")

    async def go() -> None:
        for number, upstream in enumerate((messages, words, cut)):
            directory = tmp_path / str(number)
            directory.mkdir()
            async with running(directory, upstream) as process:
                for asked in (ASKED, {**ASKED, "stream": True}, {**ASKED, "model": "far"}, {**ASKED, "model": PROMPT}):
                    await process.ask(asked)
                    await process.ask(asked, "/v1/chat/completions")
                assert len(lines(process)) == 8
                said.extend(json.dumps(line) for line in process.lines)
        monkeypatch.setattr(outgoing.chat_request, "to_chat", breaks)
        (tmp_path / "broken").mkdir()
        async with running(tmp_path / "broken", messages, protocols=[Protocol.CHAT]) as process:
            assert (await process.ask(ASKED)).status == 200
            assert lines(process)[0]["reason"] == "converter_request"
            said.extend(json.dumps(line) for line in process.lines)

    said: list[str] = []
    asyncio.run(go())
    text = "\n".join(said)
    assert "converter failed: ValueError in outgoing.py:" in text
    assert f", {Path(__file__).name}:" in text
    assert [secret for secret in SECRETS if secret in text] == []


def test_a_stream_that_breaks_off_says_so(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, cut) as process:
            assert b"event: error" in (await process.ask({**ASKED, "stream": True})).body
            [line] = lines(process)
            assert (line["status"], line["error"]) == (200, "cut")

    asyncio.run(go())


def test_a_key_made_by_hand_is_named_and_short() -> None:
    scope = {"headers": [(b"x-request-id", b"7")], "path": "/v1/messages"}
    line = Record.of(scope, caller(key_name="x" * 5000, tenant="")).line()
    assert (line["request_id"], len(line["key"]), "tenant" in line) == ("7", 200, False)


def test_a_line_without_fields_is_still_json() -> None:
    entry = logging.LogRecord("x", logging.WARNING, "", 0, "plain %s", ("words",), None)
    assert json.loads(record.JsonLines().format(entry))["message"] == "plain words"
    assert tokens(Record().usage) == {}


def test_a_line_has_the_time_as_logging_writes_it() -> None:
    ours, theirs = record.JsonLines(), logging.Formatter()
    for created in (1_795_268_400.0, 1_795_268_400.25, 1_795_268_401.999, 1_795_268_400.5):
        entry = logging.LogRecord("x", logging.WARNING, "", 0, "words", (), None)
        entry.created, entry.msecs = created, created % 1 * 1000
        assert json.loads(ours.format(entry))["timestamp"] == theirs.formatTime(entry)


def test_a_line_with_half_of_a_surrogate_pair_is_still_json() -> None:
    entry = logging.LogRecord("x", logging.WARNING, "", 0, "half \ud800", (), None)
    assert json.loads(record.JsonLines().format(entry))["message"] == "half \ud800"
