"""Claude Code without a terminal: turns, tools, subagents and models, through the gateway processes."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.clients.conftest import Recorded
from tests.support.claude_code import ClaudeCode, Finished, packages
from tests.support.stack import Stack

TOOLS = ("--allowedTools", "Bash Read Write Agent")


def call(tool: str, **arguments: str) -> str:
    """Words that make the embedded provider answer with a call of that tool."""
    return f"use {tool} {json.dumps(arguments)}"


def worked(run: Finished) -> Finished:
    assert run.returncode == 0, f"{run.out}\n{run.err}"
    return run


def test_one_turn(claude: ClaudeCode) -> None:
    run = worked(claude.ask("Say hello."))
    assert "You asked: “Say hello.”" in run.out
    assert [row["status"] for row in run.seen()] == ["200"]


def test_twin_without_a_key_nothing_is_answered(claude: ClaudeCode) -> None:
    run = claude.ask("Say hello.", ANTHROPIC_AUTH_TOKEN=None)
    assert run.returncode == 1
    assert "You asked" not in run.out


@pytest.mark.on_both_routes
@pytest.mark.parametrize("model", ["test-model", "claude-sonnet-5-5", "chat-only", "imitation"])
def test_tools_change_real_files(claude: ClaudeCode, model: str) -> None:
    """One turn that calls three tools at once, one that reads their results; Anthropic's upstream and others."""
    (claude.work / "read.txt").write_text("words that were in the file")
    asked = [
        call("Bash", command="echo from bash > bash.txt"),
        call("Write", file_path=str(claude.work / "write.txt"), content="from write"),
        call("Read", file_path=str(claude.work / "read.txt")),
    ]
    run = worked(claude.ask(" and ".join(asked), *TOOLS, "--model", model))
    assert (claude.work / "bash.txt").read_text() == "from bash\n"
    assert (claude.work / "write.txt").read_text() == "from write"
    assert "words that were in the file" in run.out
    assert [row["status"] for row in run.seen(number=2)] == ["200", "200"]


def test_stream_json(claude: ClaudeCode) -> None:
    run = worked(claude.ask("Say hello.", "--output-format", "stream-json", "--verbose", "--include-partial-messages"))
    lines = [json.loads(line) for line in run.out.splitlines()]
    assert lines[0]["type"] == "system"
    events = [line["event"]["type"] for line in lines if line["type"] == "stream_event"]
    assert events[:2] == ["message_start", "content_block_start"]
    assert events[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert events.count("content_block_delta") > 10, "the answer came in one piece"
    result = lines[-1]
    assert not result["is_error"]
    assert result["usage"]["output_tokens"] > 0


@pytest.mark.on_both_routes
def test_sessions_at_once_are_spread(claude: ClaudeCode, stack: Stack) -> None:
    """Each with a home of its own: six first starts in one would write one settings file at once.

    tests/stack/test_requests.py holds that the replicas share what is handed to them.
    """

    def person(number: int) -> Finished:
        home = claude.home / f"person-{number}"
        home.mkdir()
        return worked(replace(claude, home=home).ask(f"Say the number {number}."))

    with ThreadPoolExecutor(6) as pool:
        runs = list(pool.map(person, range(6)))
    for number, run in enumerate(runs):
        assert f"You asked: “Say the number {number}.”" in run.out
    doors = sum(name.startswith("gateway-") for name in stack.compose.running()) or 3
    assert len({run.seen()[0]["upstream_addr"] for run in runs}) == doors


def test_a_subagent(claude: ClaudeCode, recorded: Recorded) -> None:
    word = f"say-{uuid.uuid4().hex[:12]}"
    run = worked(claude.ask(call("Agent", description="say", prompt=word, subagent_type="general-purpose"), *TOOLS))
    rows = run.seen(number=3)
    assert any(row["agent"] for row in rows), "no request came from the subagent"
    assert {row["status"] for row in rows} == {"200"}
    asked = [json.dumps(row["body"]["messages"][0]) for row in recorded(word)]
    assert any(word in first and "use Agent" not in first for first in asked), "the subagent was not asked"


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("big", "claude-sonnet-5-5"),
        ("small", "claude-haiku-5-5"),
        ("sonnet", "claude-sonnet-5-5"),
        ("opus", "claude-opus-5-5"),
        ("haiku", "claude-haiku-5-5"),
    ],
)
def test_an_alias(claude: ClaudeCode, recorded: Recorded, asked: str, served: str) -> None:
    """The gateway's, and Claude Code's own, which lead to models of the shipped catalogue."""
    worked(claude.ask(f"Which is {asked}?", "--model", asked))
    assert {row["model"] for row in recorded(f"Which is {asked}?")} == {served}


def test_the_aliases_follow_the_environment(claude: ClaudeCode, recorded: Recorded) -> None:
    """The variables that lead Claude Code's aliases, its background calls among them, to the gateway's names."""
    worked(claude.ask("Which haiku is this?", "--model", "haiku", ANTHROPIC_DEFAULT_HAIKU_MODEL="big"))
    assert {row["model"] for row in recorded("Which haiku is this?")} == {"claude-sonnet-5-5"}


SDK = """
import asyncio, json, os, sys
from claude_agent_sdk import ClaudeAgentOptions, query

async def main():
    options = ClaudeAgentOptions(env=json.loads(sys.argv[1]), cwd=sys.argv[2], allowed_tools=["Bash"])
    async for message in query(prompt=sys.argv[3], options=options):
        print(type(message).__name__, getattr(message, "result", ""))

asyncio.run(main())
"""


def test_the_agent_sdk(claude: ClaudeCode) -> None:
    prompt = call("Bash", command="echo from the sdk > sdk.txt; cat sdk.txt")
    command = [sys.executable, "-c", SDK, json.dumps(claude.settings), str(claude.work), prompt]
    done = subprocess.run(
        command,
        env=claude.environment(PYTHONPATH=str(packages())),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (claude.work / "sdk.txt").read_text() == "from the sdk\n"
    assert "The tool Bash answered: “from the sdk”" in done.stdout
