"""Clients at the edge: two credentials at once, probes, large bodies, addresses that are nearly right."""

from __future__ import annotations

import base64
import secrets

import httpx
import pytest

from tests.clients.conftest import Recorded
from tests.stack.requests import chat, message
from tests.support import plain
from tests.support.claude_code import ClaudeCode
from tests.support.stack import Stack

WRONG = "sk-wrong-0123456789abcdef0123456789"
ROUTES = [("/v1/messages", message()), ("/v1/chat/completions", chat())]


@pytest.mark.on_both_routes
@pytest.mark.parametrize(("path", "body"), ROUTES)
def test_either_credential_may_be_the_tenants(stack: Stack, path: str, body: dict[str, object]) -> None:
    """Claude Code sends both where both are set, and a managed helper's key beside a shell's token."""
    right = stack.key("developer")
    expected = {
        (right, None): 200,
        (None, right): 200,
        (right, right): 200,
        (right, WRONG): 200,
        (WRONG, right): 200,
        (WRONG, WRONG): 401,
        (WRONG, None): 401,
        (None, WRONG): 401,
    }
    with plain.Client(base_url=stack.url, timeout=60, trust_env=False) as client:
        for (bearer, key), status in expected.items():
            headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
            headers |= {} if key is None else {"x-api-key": key}
            answer = client.post(path, json=body, headers=headers)
            assert answer.status_code == status, f"bearer, key: {bearer == right}, {key == right}: {answer.text}"


def test_claude_code_with_both_credentials(claude: ClaudeCode) -> None:
    run = claude.ask("Say hello.", ANTHROPIC_API_KEY=WRONG)
    assert run.returncode == 0, run.out


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_the_probes_of_a_starting_client(stack: Stack, path: str) -> None:
    answer = plain.head(f"{stack.url}{path}", timeout=60, trust_env=False)
    assert answer.status_code == 200
    assert not answer.content


@pytest.mark.on_both_routes
def test_a_body_of_32_mb_arrives_whole(developer: httpx.Client, recorded: Recorded, stack: Stack) -> None:
    """The largest body that Anthropic accepts. Documents and images reach this size, text does not."""
    pages = [
        {
            "type": "document",
            "source": {
                "type": "base64",
                "media_type": "application/pdf",
                "data": base64.b64encode(secrets.token_bytes(6_000_000)).decode(),
            },
        }
        for _ in range(4)
    ]
    asked = {"role": "user", "content": [*pages, {"type": "text", "text": "Read all this."}]}
    body = {"model": "imitation", "max_tokens": 50, "messages": [asked]}
    answer = developer.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text[:500]
    sizes = [row["body_bytes"] for row in stack.provider_requests() if row["path"] == "/v1/messages"]
    assert max(sizes) >= 32_000_000


NEARLY = (
    "/v1/messages/",
    "/v1/messages//",
    "//v1/messages",
    "/v1/v1/messages",
    "/anthropic/v1/messages",
    "/v1/chat/completions/",
    "/v1/models/",
    "/v1",
    "/v1/",
    "/api",
    "/v1/messages/count_tokens/",
)


@pytest.mark.parametrize("path", NEARLY)
def test_nothing_is_ever_redirected(developer: httpx.Client, path: str) -> None:
    """A 302 turns Claude Code's POST into a GET, and a 307 takes its key along."""
    for method in ("GET", "POST", "HEAD"):
        answer = developer.request(method, path, json=message() if method == "POST" else None)
        assert not 300 <= answer.status_code < 400, f"{method} {path}: {answer.status_code}"
        if method != "HEAD" and answer.status_code >= 400:
            assert answer.json()["error"]["message"]
