"""The provider's answers to safeguards: one for each tool call, harmless unless a dial says otherwise."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient

from tollgate.services.provider.app import create_app
from tollgate.services.provider.logs import JsonFormatter

HOME = "/home/alice-of-the-safeguards"
ASKED = {"type": "dangerous_tool_use", "classifier_context": {"home_dir": HOME, "live_cwd": f"{HOME}/work"}}
TOOLS = [{"name": name, "input_schema": {"type": "object"}} for name in ("Bash", "Read")]
HARMLESS = {"type": "evaluated", "outcome": "not_flagged"}
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def client(**how: bool) -> TestClient:
    app = create_app(**how)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": {"reset": None}}, receive, send)  # as the provider's own server does

    return TestClient(served)


def ask(to: TestClient, words: str = "use Bash, use Read", path: str = "/v1/messages", **more: Any) -> Any:
    body = {"model": "test-model", "max_tokens": 900, "messages": [{"role": "user", "content": words}], "tools": TOOLS}
    return to.post(path, json={**body, **more}, headers={"x-api-key": "sk-of-a-tenant"})


def events(answer: Any) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]


def calls(answer: Any, stream: bool) -> list[str]:
    """The ids of the tool calls, in their order."""
    blocks = answer.json()["content"] if not stream else [event.get("content_block", {}) for event in events(answer)]
    return [block["id"] for block in blocks if block.get("type") == "tool_use"]


def results(answer: Any, stream: bool) -> Any:
    """The field that Claude Code reads, None without one."""
    assert answer.status_code == 200, answer.text
    if not stream:
        return answer.json().get("safeguard_results")
    (delta,) = [event["delta"] for event in events(answer) if event["type"] == "message_delta"]
    return delta.get("safeguard_results")


def available(uses: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "dangerous_tool_use", "status": {"type": "available", "tool_uses": uses}}]


@BOTH
def test_each_tool_call_has_a_result(stream: bool) -> None:
    answer = ask(client(), safeguards=[ASKED], stream=stream)
    used = calls(answer, stream)
    assert len(set(used)) == 2
    assert results(answer, stream) == available(dict.fromkeys(used, HARMLESS))


@BOTH
@pytest.mark.parametrize("asked", [{}, {"safeguards": None}, {"safeguards": []}], ids=["no field", "null", "empty"])
def test_twin_who_asks_for_nothing_gets_nothing(stream: bool, asked: dict[str, Any]) -> None:
    answer = ask(client(), stream=stream, **asked)
    assert len(calls(answer, stream)) == 2
    assert results(answer, stream) is None
    assert "safeguard" not in answer.text


@BOTH
def test_an_answer_without_tool_calls_says_that_none_was_dangerous(stream: bool) -> None:
    answer = ask(client(), "hello", safeguards=[ASKED], stream=stream)
    assert calls(answer, stream) == []
    assert results(answer, stream) == available({})


def test_an_unknown_safeguard_is_not_supported() -> None:
    answer = ask(client(), safeguards=[{"type": "of_next_year"}, ASKED])
    unknown, known = results(answer, False)
    assert unknown == {"type": "of_next_year", "status": {"type": "unsupported"}}
    assert [known] == available(dict.fromkeys(calls(answer, False), HARMLESS))


@BOTH
def test_the_dial_makes_every_call_dangerous(stream: bool) -> None:
    answer = ask(client(under_test=True), "use Bash, use Read [[safeguard=flagged]]", safeguards=[ASKED], stream=stream)
    (result,) = results(answer, stream)
    outcomes = result["status"]["tool_uses"]
    assert list(outcomes) == calls(answer, stream)
    assert {outcome["outcome"] for outcome in outcomes.values()} == {"flagged"}
    assert all(outcome["explanation"] for outcome in outcomes.values())


@BOTH
def test_the_dial_plays_an_upstream_without_safeguards(stream: bool) -> None:
    answer = ask(client(under_test=True), "use Bash [[safeguard=missing]]", safeguards=[ASKED], stream=stream)
    assert results(answer, stream) is None


@pytest.mark.parametrize("dial", ["flagged", "missing"])
def test_twin_a_deployments_provider_has_no_such_dial(dial: str) -> None:
    answer = ask(client(), f"use Bash [[safeguard={dial}]]", safeguards=[ASKED])
    assert results(answer, False) == available(dict.fromkeys(calls(answer, False), HARMLESS))


def test_the_dial_does_nothing_for_a_request_without_safeguards() -> None:
    assert results(ask(client(under_test=True), "use Bash [[safeguard=flagged]]"), False) is None


def test_count_tokens_has_no_results() -> None:
    answer = ask(client(), path="/v1/messages/count_tokens", safeguards=[ASKED])
    assert list(answer.json()) == ["input_tokens"]


def test_openais_api_has_none() -> None:
    answer = ask(client(), path="/v1/chat/completions", safeguards=[ASKED], tools=[])
    assert answer.status_code == 200
    assert "safeguard" not in answer.text


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"type": "dangerous_tool_use"}, "safeguards: Input should be a valid list"),
        (["dangerous_tool_use"], "safeguards.0: Input should be a valid dictionary"),
        ([ASKED, {}], "safeguards.1.type: Field required"),
        ([{"type": 1}], "safeguards.0.type: Input should be a valid string"),
    ],
)
def test_a_malformed_field_is_named(asked: Any, words: str) -> None:
    """Claude Code looks for the word `safeguards`, and asks again without them."""
    answer = ask(client(), safeguards=asked)
    assert answer.status_code == 400
    assert answer.json()["error"] == {"type": "invalid_request_error", "message": words}


@pytest.mark.parametrize("asked", [[ASKED], [ASKED, {"type": HOME, "x": HOME}], [HOME], HOME], ids=str)
def test_no_log_has_the_context(asked: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for under_test in (False, True):
        ask(client(under_test=under_test), safeguards=asked)
    written = "\n".join(JsonFormatter().format(record) for record in caplog.records)
    assert written.count("/v1/messages") >= 2
    assert HOME not in written


def test_twin_the_record_of_tests_has_it() -> None:
    tested = client(under_test=True)
    ask(tested, safeguards=[ASKED])
    assert HOME in tested.get("/_recorded").text
