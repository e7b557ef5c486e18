"""The request at an upstream: Anthropic gets everything that the client sent, others get nothing of Anthropic's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.clients.conftest import Recorded
from tests.contract.provider import target as targets
from tests.support import plain
from tests.support.claude_code import ClaudeCode
from tests.support.stack import FIXTURES

T = TypeVar("T")
# The golden list: every field, header and kind of block that must arrive as it was sent.
EVERYTHING = json.loads((FIXTURES / "clients" / "everything.json").read_text())
TO_ANTHROPIC = ("claude-opus-5-5", "test-model")
# Fields that only Anthropic knows, as they would look in a request to another upstream.
ANTHROPICS = (
    "x-anthropic-billing-header",
    "cache_control",
    "context_management",
    "defer_loading",
    "safeguards",
    "output_config",
    "adaptive",
    "a_field_of_next_year",
    "device_id",
)


def differences(sent: Any, arrived: Any, place: str = "") -> Iterator[str]:
    """Where the two differ, as paths; the order of blocks counts, the order of names does not."""
    if isinstance(sent, dict) and isinstance(arrived, dict):
        for name in sent.keys() | arrived.keys():
            if name not in arrived or name not in sent:
                yield f"{place}.{name} {'lost' if name in sent else 'added'}"
            else:
                yield from differences(sent[name], arrived[name], f"{place}.{name}")
    elif isinstance(sent, list) and isinstance(arrived, list) and len(sent) == len(arrived):
        for number, pair in enumerate(zip(sent, arrived, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif sent != arrived or type(sent) is not type(arrived):
        yield f"{place} changed"


def sent_to(model: str, developer: httpx.Client, **more: Any) -> dict[str, Any]:
    """The golden request to `model`, told from others by its first word."""
    body = json.loads(json.dumps(EVERYTHING["body"])) | {"model": model, **more}
    body["messages"][0]["content"][1]["text"] = f"word-{uuid.uuid4().hex[:12]}"
    answer = developer.post("/v1/messages?beta=true", json=body, headers=EVERYTHING["headers"])
    assert answer.status_code == 200, answer.text
    return body


def arrived(body: dict[str, Any], recorded: Recorded) -> dict[str, Any]:
    rows = recorded(body["messages"][0]["content"][1]["text"])
    assert len(rows) == 1
    return rows[0]


@pytest.mark.on_both_routes
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TO_ANTHROPIC)
def test_anthropic_gets_what_was_sent(model: str, stream: bool, developer: httpx.Client, recorded: Recorded) -> None:
    body = sent_to(model, developer, stream=stream)
    row = arrived(body, recorded)
    assert list(differences(body, row["body"])) == []
    headers = dict(row["headers"])
    assert headers["anthropic-version"] == EVERYTHING["headers"]["anthropic-version"]
    assert set(headers["anthropic-beta"].split(",")) == set(EVERYTHING["headers"]["anthropic-beta"].split(","))


@pytest.mark.on_both_routes
def test_twin_a_loss_would_be_seen(developer: httpx.Client, recorded: Recorded) -> None:
    """The same request to a server that only imitates Anthropic: what is meant to be left out is found missing."""
    body = sent_to("imitation", developer)
    row = arrived(body, recorded)
    lost = {path.split()[0] for path in differences(body, row["body"])}
    assert {".safeguards", ".context_management", ".a_field_of_next_year", ".metadata", ".system"} <= lost
    assert "anthropic-beta" not in dict(row["headers"])
    assert not any(message["role"] == "system" for message in row["body"]["messages"])


@pytest.mark.on_both_routes
@pytest.mark.parametrize("model", ["chat-only", "openai-like"])
def test_others_get_nothing_of_anthropics(model: str, developer: httpx.Client, recorded: Recorded) -> None:
    row = arrived(sent_to(model, developer), recorded)
    assert row["path"] == "/v1/chat/completions"
    assert [word for word in ANTHROPICS if word in json.dumps(row["body"])] == []
    assert not [name for name, _ in row["headers"] if name.startswith("anthropic")]
    roles = [message["role"] for message in row["body"]["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "tool", "user"]
    assert row["body"]["reasoning_effort"] == "medium"


def test_twin_what_is_anthropics_stands_in_what_was_sent() -> None:
    assert [word for word in ANTHROPICS if word not in json.dumps(EVERYTHING)] == []


@pytest.mark.on_both_routes
def test_a_wanted_format_is_wanted_of_others_too(developer: httpx.Client, recorded: Recorded) -> None:
    """As Claude Code asks for a session's title."""
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    wanted = {"format": {"type": "json_schema", "schema": {**schema, "additionalProperties": False}}}
    word = f"title-{uuid.uuid4().hex[:12]}"
    body = {"model": "chat-only", "max_tokens": 200, "messages": [{"role": "user", "content": word}]}
    answer = developer.post("/v1/messages", json={**body, "output_config": wanted})
    assert isinstance(json.loads(answer.json()["content"][0]["text"])["title"], str)
    assert recorded(word)[0]["body"]["response_format"]["type"] == "json_schema"


def turns(claude: ClaudeCode, model: str, recorded: Recorded) -> tuple[Any, Any]:
    """The two requests of one tool turn."""
    word = f"said-{uuid.uuid4().hex[:12]}"
    run = claude.ask(f'use Bash {{"command": "echo {word}"}}', "--allowedTools", "Bash", "--model", model)
    assert run.returncode == 0, run.out
    assert f"answered: “{word}”" in run.out
    first, second = recorded(word)
    return first, second


def test_claude_code_through_an_upstream_that_is_not_anthropic(claude: ClaudeCode, recorded: Recorded) -> None:
    first, second = turns(claude, "chat-only", recorded)
    assert {first["path"], second["path"]} == {"/v1/chat/completions"}
    for row in (first, second):
        said = [message for message in row["body"]["messages"] if message["role"] == "system"]
        assert said == row["body"]["messages"][:1], "a system message among the others"
        assert [word for word in ANTHROPICS[:-2] if f'"{word}"' in json.dumps(row["body"])] == []
        assert "x-anthropic-billing-header" not in json.dumps(row["body"])


def on_one_day(runs: Callable[[], T]) -> T:
    """The result of `runs`. It runs again if midnight fell into it, because Claude Code tells the model the date."""
    while True:
        day, result = date.today(), runs()
        if date.today() == day:
            return result


@pytest.mark.on_both_routes
def test_its_turns_share_a_prefix_and_so_do_sessions(claude: ClaudeCode, recorded: Recorded) -> None:
    """Byte for byte, otherwise the upstream computes the whole prompt again in each turn."""
    (first, second), (other, _) = on_one_day(
        lambda: (turns(claude, "chat-only", recorded), turns(claude, "chat-only", recorded))
    )
    begun, gone_on = (json.dumps(row["body"]["messages"]) for row in (first, second))
    assert gone_on.startswith(begun.removesuffix("]"))
    assert json.dumps(first["body"]["tools"]) == json.dumps(second["body"]["tools"])
    assert json.dumps(other["body"]["messages"][0]) == json.dumps(first["body"]["messages"][0])


@pytest.mark.on_both_routes
def test_claude_codes_own_request_arrives_as_without_a_gateway(
    claude: ClaudeCode, recorded: Recorded, tmp_path: Path
) -> None:
    """The same run twice: at an embedded provider of its own, and through the gateway."""

    def twice() -> tuple[tuple[dict[str, Any], str], tuple[dict[str, Any], str]]:
        word = f"said-{uuid.uuid4().hex[:12]}"
        prompt = (f"Say {word}.", "--model", "claude-opus-5-5")
        with targets.embedded(tmp_path / "provider.log") as direct:
            session = claude.ask(*prompt, ANTHROPIC_BASE_URL=direct.url).session
            rows = plain.get(f"{direct.url}/_recorded", trust_env=False).json()["requests"]
        straight = next(row for row in rows if row["path"] == "/v1/messages")
        run = claude.ask(*prompt)
        return (straight, session), (recorded(word)[0], run.session)

    def comparable(row: dict[str, Any], session: str) -> Any:
        return json.loads(json.dumps(row["body"]).replace(session, "session"))

    (straight, session), (through, other) = on_one_day(twice)
    assert list(differences(comparable(straight, session), comparable(through, other))) == []
    for name in ("anthropic-version", "anthropic-beta"):
        straight_values, values = (set(dict(row["headers"])[name].split(",")) for row in (straight, through))
        assert values == straight_values
