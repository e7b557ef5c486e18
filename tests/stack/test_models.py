"""`tollgate models` on the running stack: the served models, their health, and a real request to a target."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.support.eventually import eventually
from tests.support.stack import Stack


def _listed(stack: Stack) -> dict[str, Any]:
    listed = json.loads(stack.cli("models", "--json").stdout)
    assert listed["running"]
    return {row["name"]: row for row in listed["models"]}


def test_a_target_that_answers_is_listed_as_healthy(stack: Stack, gateway: httpx.Client) -> None:
    body = {"model": "test-model", "max_tokens": 20, "messages": [{"role": "user", "content": "hello"}]}
    assert gateway.post("/v1/messages", json=body).status_code == 200

    def healthy() -> bool:
        (target,) = _listed(stack)["test-model"]["targets"]
        return bool(target["state"].startswith("healthy"))  # other tests have other replicas fail

    eventually(healthy, within=60, every=2)


def test_a_left_out_model_has_a_reason(stack: Stack) -> None:
    listed = _listed(stack)
    # Claude's models are served here, by the embedded provider in Anthropic's place.
    assert "OPENAI_API_KEY" in listed["gpt-4o-mini"]["left_out"]
    assert listed["claude-opus-5-5"]["left_out"] == ""
    assert listed["test-model"]["left_out"] == ""


def test_a_test_sends_a_real_request_to_each_target(stack: Stack) -> None:
    def asked() -> set[object]:
        """Among the newest hundred; tests/docs asks as well."""
        rows = stack.provider_requests()
        return {row["number"] for row in rows if "Call the tool `ls` once" in json.dumps(row["body"])}

    before = asked()
    (answer,) = json.loads(stack.cli("models", "test", "test-model", "--json").stdout)
    assert answer["ok"]
    assert answer["tool_call"] is True
    assert answer["prompt_tokens"] > 0
    assert answer["answer_tokens"] > 0
    assert len(asked() - before) == 1
