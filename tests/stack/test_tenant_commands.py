"""The tenant commands on the running stack: each one is true for the next request, on whichever replica."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.stack.requests import message
from tests.support import plain
from tests.support.clock import until_the_minute_has_left
from tests.support.eventually import eventually
from tests.support.stack import ROOT, Stack

SCRIPT = ROOT / "scripts" / "manage-tenants.sh"
KEY = "sk-eng-secure-key-0123456789"
ROUNDS = 6  # nginx takes the replicas in turn: each of three is asked twice


@pytest.fixture(autouse=True)
def nobody_left(stack: Stack) -> Iterator[None]:
    before = set(stack.site.tenants_dir.iterdir())
    yield
    for file in set(stack.site.tenants_dir.iterdir()) - before:
        stack.cli("tenant", "delete", file.stem, "--allow-delete", "--yes")


def manage(stack: Stack, *words: str) -> str:
    """The script as a user calls it, on the test's deployment."""
    environment = {**os.environ, "TOLLGATE_HOME": str(stack.home)}
    done = subprocess.run([SCRIPT, *words], capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(stack: Stack, key: str, model: str = "test-model") -> int:
    body = {**message(), "model": model}
    headers = {"Authorization": f"Bearer {key}"}
    return plain.post(f"{stack.url}/v1/messages", json=body, headers=headers, timeout=60, trust_env=False).status_code


def everywhere(stack: Stack, key: str) -> set[int]:
    return {ask(stack, key) for _ in range(ROUNDS)}


def test_tenants_side_by_side_and_the_fourth_is_one_command(stack: Stack) -> None:
    manage(stack, "create", "engineering", KEY, "100", "test-model,gpt-4o-mini")
    manage(stack, "create", "research", "100", "gpt-4o-mini")
    manage(stack, "create", "interns", "1", "test-model", "--rpm", "2")
    keys = {name: stack.key(name) for name in ("engineering", "research", "interns")}
    assert keys["engineering"] == KEY
    assert everywhere(stack, KEY) == {200}
    assert everywhere(stack, keys["research"]) == {403}, "not its model"
    until_the_minute_has_left()
    assert [ask(stack, keys["interns"]) for _ in range(4)] == [200, 200, 429, 429]

    made = json.loads(manage(stack, "create", "fourth", "5", "test-model", "--json"))
    assert ask(stack, made["key"]) == 200
    assert made["waiting"] == "" and any(line.startswith("create team fourth") for line in made["applied"])
    assert stack.cli("plan", check=False).returncode == 0, "what the commands did is what the files say"


def test_a_suspended_tenant_is_refused_everywhere_at_once_and_comes_back(stack: Stack) -> None:
    manage(stack, "create", "loud", KEY, "1", "test-model")
    assert everywhere(stack, KEY) == {200}
    manage(stack, "suspend", "loud")
    assert 200 not in everywhere(stack, KEY)
    assert "SUSPENDED" in manage(stack, "show", "loud")
    manage(stack, "resume", "loud")
    eventually(lambda: everywhere(stack, KEY) == {200}, within=120, every=1)  # a team's block is cached for a minute


def test_an_update_holds_for_the_next_request(stack: Stack) -> None:
    manage(stack, "create", "changing", KEY, "1", "gpt-4o-mini")
    assert everywhere(stack, KEY) == {403}
    manage(stack, "update", "changing", "--models", "test-model")
    assert everywhere(stack, KEY) == {200}


def test_a_persons_key_ends_with_the_command_that_takes_it(stack: Stack) -> None:
    manage(stack, "create", "team", KEY, "1", "test-model")
    alice = json.loads(manage(stack, "key", "add", "team", "alice", "--owner", "alice@team.example", "--json"))["key"]
    assert everywhere(stack, alice) == {200}
    shown = manage(stack, "show", "team")
    assert "team/alice/" in shown and "works" in shown and alice not in shown
    manage(stack, "key", "remove", "team", "alice", "--yes")
    assert everywhere(stack, alice) == {401}
    assert everywhere(stack, KEY) == {200}


def test_deleted_is_gone_and_removed_can_come_back(stack: Stack) -> None:
    manage(stack, "create", "brief", KEY, "1", "test-model")
    assert ask(stack, KEY) == 200
    manage(stack, "delete", "brief", "--yes")
    assert 200 not in everywhere(stack, KEY)
    assert stack.key("brief") == KEY, "blocked, so that it can come back"
    manage(stack, "create", "brief", "1", "test-model")
    eventually(lambda: everywhere(stack, KEY) == {200}, within=120, every=1)
    manage(stack, "delete", "brief", "--allow-delete", "--yes")
    assert 200 not in everywhere(stack, KEY)
    assert not (stack.site.secrets_dir / "tenants" / "brief").exists()


def test_what_connect_prints_is_what_works(stack: Stack) -> None:
    manage(stack, "create", "joining", "1", "test-model")
    curl = (
        'curl -sS -o /dev/null -w "%{http_code}" "$ANTHROPIC_BASE_URL/v1/messages" -H "content-type: application/json" '
        '-H "Authorization: Bearer $ANTHROPIC_AUTH_TOKEN" -d '
        '"{\\"model\\": \\"$ANTHROPIC_MODEL\\", \\"max_tokens\\": 9, \\"messages\\": '
        '[{\\"role\\": \\"user\\", \\"content\\": \\"hi\\"}]}"'
    )
    for words in (["connect", "joining"], ["connect", "joining", "--show-key"]):
        script = manage(stack, *words) + curl
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout == "200", done.stderr
    settings = json.loads(manage(stack, "connect", "joining", "--format", "settings"))
    printed = subprocess.run(["sh", "-c", settings["apiKeyHelper"]], capture_output=True, text=True, check=True).stdout
    assert ask(stack, printed.strip(), settings["env"]["ANTHROPIC_MODEL"]) == 200


def test_while_the_gateway_cannot_be_asked_nothing_is_written(stack: Stack) -> None:
    right = stack.site.secrets_dir / "litellm_master_key"
    text = right.read_text()
    right.write_text("sk-not-the-master-key-of-this-gateway")
    try:
        done = stack.cli("tenant", "create", "nowhere", "1", "test-model", check=False)
    finally:
        right.write_text(text)
    assert done.returncode == 1 and "error:" in done.stderr and "Traceback" not in done.stderr
    assert not (stack.site.tenants_dir / "nowhere.yaml").exists()
    assert not (stack.site.secrets_dir / "tenants" / "nowhere").exists()
