"""The provider's contract suite, unchanged, pointed at the gateway: what holds directly must hold through it."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import httpx

from tests.stack.requests import chat, message
from tests.support import logs
from tests.support.stack import ROOT, Stack

# Headers of LiteLLM's that tell of its insides: keys' spend, upstream addresses, versions. One is for support requests.
INSIDES = re.compile(r"^(x-litellm-(?!call-id$)|llm_provider-|x-ratelimit-.*-litellm)", re.IGNORECASE)


def test_the_sdks_find_the_same_behind_the_gateway(stack: Stack, allow_in_logs: list[str]) -> None:
    allow_in_logs.append(logs.UPSTREAM_FAULTS)
    environment = {
        **os.environ,
        "TOLLGATE_CONTRACT_URL": stack.url,
        "TOLLGATE_CONTRACT_KEY": stack.key("contractor"),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract/provider"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=840)
    assert done.returncode == 0, done.stdout[-6000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout[-2000:]
    assert int(passed.group(1)) >= 90


def test_answers_do_not_tell_of_the_insides(gateway: httpx.Client) -> None:
    for path, body in (("/v1/messages", message()), ("/v1/chat/completions", chat())):
        answer = gateway.post(path, json=body)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if INSIDES.match(name)]
        assert answer.headers["request-id"]


def test_the_insides_are_there_to_be_hidden(admin: httpx.Client) -> None:
    """The twin: the admin listener passes them on, so the test above would see them."""
    answer = admin.post("/v1/messages", json=message())
    assert [name for name in answer.headers if INSIDES.match(name)]
