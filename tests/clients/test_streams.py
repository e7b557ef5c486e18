"""Streams of /v1/messages: their order, how they end when an upstream dies or a client leaves, and their silences."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Recorded
from tests.contract.provider.events import check_order
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.on_both_routes
# Anthropic's API, the embedded provider's own, and one that is translated.
MODELS = ("claude-sonnet-5-5", "test-model", "chat-only")
TOOL = {"name": "look", "description": "Looks", "input_schema": {"type": "object", "properties": {}}}
# A ping is due after 15 s: a silence that is longer than one that comes late on a busy machine.
SILENCE = 19


def body(model: str, text: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "max_tokens": 4000, "stream": True, "messages": [{"role": "user", "content": text}], **more}


def lines(client: httpx.Client, asked: dict[str, Any]) -> list[str]:
    with client.stream("POST", "/v1/messages", json=asked) as answer:
        assert answer.status_code == 200, answer.read()
        return [line for line in answer.iter_lines() if line]


def events(read: list[str]) -> Iterator[dict[str, Any]]:
    """The events, each of which must say in its `event:` line what it says in its data."""
    name = None
    for line in read:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            assert event["type"] == name, line
            yield event


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("text", "more", "kinds"),
    [
        ("Say much. [[tokens=60]]", {}, ["text"]),
        ('use look {"where": "up"}', {"tools": [TOOL]}, ["tool_use"]),
        ("use look and use look", {"tools": [TOOL]}, ["tool_use", "tool_use"]),
    ],
    ids=["text", "tool", "two tools"],
)
def test_the_order_of_a_stream(
    developer: httpx.Client, model: str, text: str, more: dict[str, Any], kinds: list[str]
) -> None:
    seen = list(events(lines(developer, body(model, text, **more))))
    check_order(seen)
    assert [event["content_block"]["type"] for event in seen if event["type"] == "content_block_start"] == kinds
    assert next(event for event in seen if event["type"] == "message_delta")["usage"]["output_tokens"] > 0


def test_thinking_streams_before_the_answer(developer: httpx.Client) -> None:
    thinking = {"type": "adaptive", "display": "summarized"}
    seen = list(events(lines(developer, body("claude-opus-5-5", "Think.", thinking=thinking))))
    check_order(seen)
    deltas = [event["delta"]["type"] for event in seen if event["type"] == "content_block_delta"]
    assert "signature_delta" in deltas
    assert deltas.index("signature_delta") < deltas.index("text_delta")


@pytest.mark.parametrize("model", MODELS)
# Slow enough for the words to be on their way when the connection breaks, or there is no stream to end.
@pytest.mark.parametrize("dial", ["error=after:5", "drop=after:5 tps=5"])
def test_an_upstream_that_dies_ends_the_stream_with_an_error(developer: httpx.Client, model: str, dial: str) -> None:
    seen = list(events(lines(developer, body(model, f"Say much. [[{dial}]]"))))
    assert seen[0]["type"] == "message_start"
    assert seen[-1]["type"] == "error", "the stream ends without saying that it is not complete"
    assert seen[-1]["error"]["type"] in ("api_error", "overloaded_error")
    assert seen[-1]["error"]["message"]
    assert not [event for event in seen if event["type"] == "message_stop"]


@pytest.fixture(scope="module")
def after_a_silence(stack: Stack) -> dict[str, list[list[str]]]:
    """The events of a stream by dial, for each model. All run at the same time: each takes longer than a ping."""
    dials = (f"latency={SILENCE}", f"gap=after:5:{SILENCE}", f"latency={SILENCE} status=400")
    headers = {"Authorization": f"Bearer {stack.key('developer')}"}
    cases = [(dial, model) for dial in dials for model in MODELS]
    with (
        plain.Client(base_url=stack.url, headers=headers, timeout=60, trust_env=False) as client,
        ThreadPoolExecutor(len(cases)) as pool,
    ):
        answers = pool.map(lambda case: lines(client, body(case[1], f"Say much. [[{case[0]}]]")), cases)
        seen: dict[str, list[list[str]]] = {dial: [] for dial in dials}
        for (dial, _), answer in zip(cases, answers, strict=True):
            seen[dial].append(answer)
    return seen


@pytest.mark.parametrize("dial", [f"latency={SILENCE}", f"gap=after:5:{SILENCE}"])
def test_a_silent_upstream_is_covered_by_pings(after_a_silence: dict[str, list[list[str]]], dial: str) -> None:
    """Before the first byte and between two: a comment every 15 s, or proxies and Claude Code would give up."""
    for read in after_a_silence[dial]:
        assert [line for line in read if line.startswith(":") or line == "event: ping"], "nothing came meanwhile"
        check_order(events(read))


def test_an_upstream_that_refuses_after_a_ping(after_a_silence: dict[str, list[list[str]]]) -> None:
    """The status has been sent by then; the refusal is an event in Anthropic's shape, with the upstream's words."""
    for read in after_a_silence[f"latency={SILENCE} status=400"]:
        last = list(events([line for line in read if line != "data: [DONE]"]))[-1]
        assert last["type"] == "error"
        assert last["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("model", MODELS)
def test_a_client_that_leaves_stops_the_upstream_and_pays_for_output(
    stack: Stack, developer: httpx.Client, recorded: Recorded, model: str
) -> None:
    word, began = f"word-{uuid.uuid4().hex[:12]}", datetime.now(UTC)
    with developer.stream("POST", "/v1/messages", json=body(model, f"{word} [[tokens=2000 tps=40]]")) as answer:
        pieces = answer.iter_lines()
        read = 0
        while read < 20:
            read += "event: content_block_delta" in next(pieces)
    row = recorded(word)[0]
    assert row["ended"] == "client gone"
    assert 0 < row["tokens_sent"] < 2000
    # The gateway counts the words that it passed on, for the upstream never said. Each piece that was read was a token.
    ((tokens, spend),) = eventually(lambda: booked(stack, began), within=60)
    assert read / 2 < tokens < row["tokens_sent"] * 2
    assert spend > 0


def booked(stack: Stack, since: datetime) -> list[tuple[int, float]]:
    """The output and the cost of each call of this tenant, as the ledger has them on either route."""
    calls = """"LiteLLM_SpendLogs" WHERE team_id = 'developer' AND "startTime" >= """
    lines = f"SELECT completion_tokens, spend FROM {calls} '{since:%Y-%m-%d %H:%M:%S.%f}'"  # noqa: S608  our own words
    said = stack.compose.ask("exec", "-T", "postgres", "psql", "-XqAt", "-U", "litellm", "-d", "litellm", "-c", lines)
    return [(int(tokens), float(spend)) for tokens, spend in (line.split("|") for line in said.split())]
