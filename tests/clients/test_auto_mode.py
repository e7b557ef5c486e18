"""Claude Code's auto mode: the upstream judges each action. If it cannot, Claude Code asks its user."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.conftest import Recorded
from tests.support import logs
from tests.support.claude_code import ClaudeCode, Finished
from tests.support.terminal import open_terminal

AUTO = ("--permission-mode", "auto")
CANNOT = "Auto mode can't check actions in this session"
# With the embedded provider behind OpenAI's API.
CHAT = "chat-only"


def action(name: str) -> str:
    """A prompt after which the model makes a file. Claude Code runs no interpreter without the check."""
    code = f"open('{name}', 'w')"
    return f"use Bash {json.dumps({'command': f'python3 -c {json.dumps(code)}'})}"


def ask(claude: ClaudeCode, dial: str = "", *arguments: str, **more: str) -> tuple[Finished, Path, str]:
    """The run, the file that the action makes, and a word that only its requests have."""
    name = f"made-{uuid.uuid4().hex[:12]}"
    return claude.ask(f"{action(name)} {dial}", *AUTO, *arguments, **more), claude.work / name, name


def bodies(recorded: Recorded, word: str) -> Iterator[dict[str, Any]]:
    return (row["body"] for row in recorded(word))


@pytest.mark.on_both_routes
def test_a_harmless_action_runs_without_a_question(claude: ClaudeCode, recorded: Recorded) -> None:
    began = datetime.now(UTC).isoformat()
    run, made, word = ask(claude)
    assert run.returncode == 0, run.out + run.err
    assert made.exists()
    asked = [body["safeguards"][0] for body in bodies(recorded, word)]
    assert {safeguard["type"] for safeguard in asked} == {"dangerous_tool_use"}
    assert {safeguard["classifier_context"]["home_dir"] for safeguard in asked} == {str(claude.home)}
    assert str(claude.home) not in "\n".join(logs.since(claude.stack.compose, began)), "a log has the context"


def test_a_dangerous_action_is_blocked(claude: ClaudeCode) -> None:
    run, made, _ = ask(claude, "[[safeguard=flagged]]")
    assert "denied by the Claude Code auto mode classifier. Reason: Flagged by the dial of a test" in run.out
    assert not made.exists()


def test_a_chat_server_cannot_judge_and_nobody_can_be_asked(claude: ClaudeCode, recorded: Recorded) -> None:
    run, made, word = ask(claude, "", "--model", CHAT)
    assert (run.returncode, CANNOT in run.err) == (1, True), run.out + run.err
    assert not made.exists()
    assert not any("safeguards" in body for body in bodies(recorded, word))


@pytest.mark.on_both_routes
@pytest.mark.parametrize("stream", [False, True])
def test_results_pass_on_either_route_and_form(developer: httpx.Client, stream: bool) -> None:
    body = {
        "model": "test-model",
        "max_tokens": 900,
        "messages": [{"role": "user", "content": "use Bash [[safeguard=flagged]]"}],
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "safeguards": [{"type": "dangerous_tool_use", "classifier_context": {"v": 1}}],
        "stream": stream,
    }
    answer = developer.post("/v1/messages", json=body, headers={"anthropic-beta": "dangerous-tool-use-2026-09-03"})
    assert answer.status_code == 200, answer.text
    events = [json.loads(line[5:]) for line in answer.text.splitlines() if line.startswith("data:")]
    ending = next(event["delta"] for event in events if event["type"] == "message_delta") if stream else answer.json()
    (result,) = ending["safeguard_results"]
    (outcome,) = result["status"]["tool_uses"].values()
    assert (result["type"], outcome["outcome"]) == ("dangerous_tool_use", "flagged")


def test_in_a_terminal_the_user_is_asked(claude: ClaudeCode) -> None:
    name = f"made-{uuid.uuid4().hex[:12]}"
    with open_terminal(claude, *AUTO, "--model", CHAT) as terminal:
        terminal.shows("auto mode on")
        terminal.type(action(name))
        terminal.shows(CANNOT, "Enter to stay in auto mode")
        terminal.press("\r")
        terminal.shows("so this one needs your approval", "Do you want to proceed?")
    assert not (claude.work / name).exists()


def test_claude_code_can_ask_the_model_behind_sonnet_itself(claude: ClaudeCode, recorded: Recorded) -> None:
    """The embedded provider cannot judge, so the action is blocked; a chat server without this variable gets none."""
    own = {"CLAUDE_CODE_AUTO_MODE_SERVER": "0", "ANTHROPIC_DEFAULT_SONNET_MODEL": "test-model"}
    run, made, word = ask(claude, "", "--model", CHAT, **own)
    assert "Auto mode could not evaluate this action" in run.out, run.out + run.err
    assert not made.exists()
    asked = list(bodies(recorded, word))
    judges = [body for body in asked if "security monitor" in json.dumps(body.get("system"))]
    assert judges and not any("safeguards" in body for body in asked)
