"""`tollgate top` on the running stack: what was just asked is there, once, in a pipe, and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.stack.requests import message
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack


def look(stack: Stack) -> dict[str, Any]:
    return dict(json.loads(stack.cli("top", "--once", "--json").stdout))


def test_requests_of_the_last_minute_are_shown_by_tenant_model_and_process(stack: Stack) -> None:
    headers = {"Authorization": f"Bearer {stack.key('example')}", "anthropic-version": "2023-06-01"}

    def seen() -> dict[str, Any]:
        for _ in range(3):
            body = message("hello")
            plain.post(f"{stack.url}/v1/messages", json=body, headers=headers, timeout=60, trust_env=False)
        told = look(stack)
        assert "example" in {row["name"] for row in told["tenants"]}, told
        assert "test-model" in {row["name"] for row in told["models"]}, told
        return told

    told = eventually(seen, within=120, every=5)
    assert [row["name"] for row in told["replicas"]] == sorted(row["name"] for row in told["replicas"])
    assert len(told["gateways"]) == stack.deployment.settings.gateways
    assert told["connections"] >= 1
    text = stack.cli("top", "--once").stdout
    assert "TENANT" in text and "\x1b" not in text
    assert [name for name, value in stack.secret_values().items() if value in text] == []


def test_in_a_pipe_it_prints_one_look_after_another(stack: Stack) -> None:
    command = [sys.executable, "-m", "tollgate", "--home", str(stack.home), "top", "--json", "--every", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        moments = [json.loads(process.stdout.readline())["at"] for _ in range(2)]
        process.terminate()
    assert moments[0] < moments[1]
