"""Claude Code as people mostly use it: in a terminal."""

from __future__ import annotations

import uuid

from tests.clients.conftest import Recorded
from tests.support.claude_code import ClaudeCode, seen_by_nginx
from tests.support.eventually import eventually
from tests.support.terminal import open_terminal


def test_a_conversation_and_its_context(claude: ClaudeCode, recorded: Recorded) -> None:
    """/context counts tokens: one call for each part of what is sent. The provider counts; the model answers none."""
    before = len(seen_by_nginx(claude.stack, uri="/v1/messages/count_tokens", status="200"))
    word = f"hello-{uuid.uuid4().hex[:8]}"
    with open_terminal(claude) as terminal:
        terminal.shows("Claude Code v", "test-model")
        terminal.type(f"Say {word}.")
        terminal.shows(f"You asked: “Say {word}.”")
        terminal.type("/context")
        terminal.shows("Context usage", "System tools:", "Messages:")
    counted = {"uri": "/v1/messages/count_tokens", "status": "200"}
    eventually(lambda: len(seen_by_nginx(claude.stack, **counted)) >= before + 5, within=20)
    assert {row["path"] for row in recorded(word)} - {"/v1/messages/count_tokens"} == {"/v1/messages"}


def test_the_gateways_models_are_offered(claude: ClaudeCode) -> None:
    before = len(seen_by_nginx(claude.stack, uri="/v1/models", status="200"))
    with open_terminal(
        claude, CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY="1", CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=None
    ) as terminal:
        terminal.shows("Claude Code v")
        eventually(lambda: len(seen_by_nginx(claude.stack, uri="/v1/models", status="200")) > before, within=30)
        terminal.type("/model")
        # Claude's own names it knows already, under names of its own. The others have our names and descriptions.
        text = terminal.shows("Select model", "big (Claude Sonnet 5.5)", "chat-only The embedded provider")
        assert "claude-opus-4-8" not in text, "a model that this tenant may not use"
