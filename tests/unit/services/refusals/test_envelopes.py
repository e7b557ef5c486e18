"""The status of a refusal: one table for every client, except a number that only Claude Code gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tollgate.services.choice.candidates import Choice
from tollgate.services.choice.choose import NoModelError, choose
from tollgate.services.hooks.ongoing import Ongoing
from tollgate.services.refusals import door, envelopes
from tollgate.services.refusals.refusal import Refusal
from tollgate.services.replica.wording import refusal_of
from tollgate.services.requests.routes import Api

CLAUDE_CODE = "claude-cli/2.1.330 (external, cli)"
OTHERS = (
    None,
    "",
    "Anthropic/Python 0.97.0",
    "curl/8.5.0",
    "claude-code/2.1.330",
    "Claude-CLI/2.1.330",
    " claude-cli/2.1.330",
    "curl/8.5.0 claude-cli/2.1.330",
)
MESSAGES = ("/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches")
ELSEWHERE = ("/v1/chat/completions", "/v1/models", "/gateway/usage", "/v1/messagesx")


def no_candidate() -> Refusal:
    with pytest.raises(NoModelError) as raised:
        choose("auto", Choice((), None), [], {"messages": []}, Api.CHAT, None)
    return raised.value.refusal


def without_price() -> Refusal:
    return refusal_of(Ongoing(), 400, {"error": {"type": "model_cost_map_missing", "message": "x"}})


NOT_ALLOWED = {
    "model": door.model_not_allowed("acme", "gpt-9"),
    "route": door.route_not_allowed(),
    "cheapest": no_candidate(),
    "price": without_price(),
}
# The statuses of all other refusals on these routes.
REST = (400, 401, 404, 408, 413, 415, 422, 424, 429, 500, 502, 529)


def scope(path: str, agent: str | None) -> dict[str, Any]:
    headers = [(b"x-request-id", b"edge-1"), (b"host", b"gateway")]
    return {"path": path, "headers": headers + ([] if agent is None else [(b"user-agent", agent.encode())])}


def told(refusal: Refusal, path: str, agent: str | None) -> tuple[int, dict[bytes, bytes], Any]:
    start, body = envelopes.answer(refusal, scope(path, agent))
    return start["status"], dict(start["headers"]), json.loads(body["body"])


@pytest.mark.parametrize("path", MESSAGES)
@pytest.mark.parametrize("name", NOT_ALLOWED)
def test_claude_code_gets_another_number_and_the_same_words(name: str, path: str) -> None:
    refusal = NOT_ALLOWED[name]
    status, headers, body = told(refusal, path, CLAUDE_CODE)
    assert status == 424
    assert (403, headers, body) == told(refusal, path, None)
    assert (body["error"]["type"], body["error"]["message"]) == ("permission_error", refusal.message)
    assert headers[b"x-should-retry"] == b"false"


@pytest.mark.parametrize("path", MESSAGES)
@pytest.mark.parametrize("agent", OTHERS)
def test_twin_everybody_else_gets_a_403(agent: str | None, path: str) -> None:
    """The SDKs make a PermissionDeniedError of it, which programs catch."""
    assert {told(refusal, path, agent)[0] for refusal in NOT_ALLOWED.values()} == {403}


@pytest.mark.parametrize("path", ELSEWHERE)
def test_twin_other_routes_keep_the_403(path: str) -> None:
    assert {told(refusal, path, CLAUDE_CODE)[0] for refusal in NOT_ALLOWED.values()} == {403}


@pytest.mark.parametrize("status", REST)
def test_other_refusals_have_one_number_for_all(status: int) -> None:
    refusal = Refusal(status, "api_error", "any", "words")
    assert {told(refusal, "/v1/messages", agent)[0] for agent in (CLAUDE_CODE, *OTHERS)} == {status}


def test_openais_clients_get_503_for_529() -> None:
    refusal = door.no_room()
    assert [told(refusal, path, None)[0] for path in ("/v1/messages", "/v1/chat/completions")] == [529, 503]


@pytest.mark.parametrize("sent", [[(b"user-agent", b"curl/8.5.0")], []])
def test_the_first_of_several_user_agents_counts(sent: list[tuple[bytes, bytes]]) -> None:
    asked = scope("/v1/messages", None)
    asked["headers"] += [*sent, (b"user-agent", CLAUDE_CODE.encode())]
    assert envelopes.status(NOT_ALLOWED["model"], asked) == (403 if sent else 424)
