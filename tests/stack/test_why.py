"""`tollgate why` on the running stack: a request that was answered, one that was refused, and one that nobody sent."""

from __future__ import annotations

import json
from typing import Any

import httpx

from tests.stack.requests import message
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack


def why(stack: Stack, request_id: str) -> dict[str, Any]:
    [request] = json.loads(stack.cli("why", request_id, "--json").stdout)["requests"]
    return dict(request)


def ask(stack: Stack, **more: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {stack.key('example')}", "anthropic-version": "2023-06-01"}
    body = message("What becomes of me?", **more)
    return plain.post(f"{stack.url}/v1/messages", json=body, headers=headers, timeout=60, trust_env=False)


def test_an_answered_request_is_told_from_its_id_to_its_cost(stack: Stack) -> None:
    answer = ask(stack).raise_for_status()
    request_id = answer.headers["request-id"]

    def booked() -> dict[str, Any]:
        request = why(stack, request_id)
        assert request["booked"] == "ledger", request
        return request

    request = eventually(booked, within=90, every=3)
    assert (request["tenant"], request["status"]) == ("example", 200)
    assert request["tokens_in"] == answer.json()["usage"]["input_tokens"]
    text = stack.cli("why", request_id).stdout
    assert "Tenant example sent request" in text and "booked in the ledger" in text
    assert "What becomes of me?" not in text
    assert [name for name, value in stack.secret_values().items() if value in text] == []


def test_a_refused_request_is_told_with_its_status(stack: Stack) -> None:
    answer = ask(stack, model="nobody-serves-this")
    assert answer.status_code in (400, 403, 404)
    request = why(stack, answer.headers["request-id"])
    assert (request["booked"], request["status"]) == ("nothing", answer.status_code)


def test_twin_a_request_that_nobody_sent_is_an_error_with_a_hint(stack: Stack) -> None:
    done = stack.cli("why", "nobody-sent-this", check=False)
    assert done.returncode == 1
    assert "error: no log, journal or ledger knows the request nobody-sent-this" in done.stderr
    assert "hint:" in done.stderr
