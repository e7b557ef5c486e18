"""A replica's log: a refused request is no ERROR, and a real failure is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.litellm.gateway import Gateway
from tests.contract.litellm.test_refusals import digest
from tests.support.eventually import eventually
from tollgate.config.secret import Secret

pytestmark = pytest.mark.docker

Handmade = Callable[..., Secret]
PATHS = ("/v1/messages", "/v1/chat/completions")
ACCESS = "uvicorn.access"
# LiteLLM's files that log about one request: authentication, handler, router. Its jobs fail at any time on a machine
# that is too busy, and their lines are no refusal's.
OF_REQUESTS = (
    "auth_exception_handler.py",
    "common_request_processing.py",
    "router.py",
    "endpoints.py",
    "proxy_server.py",
)
SPENT = {"budget_limits": [{"budget_duration": "1d", "max_budget": 0.0001}]}
# Tenant, key and limits of one who is refused at the latest at the third request.
REFUSED: dict[str, dict[str, Any]] = {
    "our limit of requests": {"limits": {"requests_per_hour": 1}},
    "our budget": {"limits": {"daily_limit": 0.0001}},
    "a budget that was set in LiteLLM": {"team": SPENT},
    "a limit that was set in LiteLLM": {"key": {"rpm_limit": 1}},
    "another tenant's model": {"team": {"models": ["another-name"]}},
}


def lines(gateway: Gateway) -> list[dict[str, Any]]:
    """Every line of the replica's log, of both streams, that is JSON."""
    out, err = gateway.containers["litellm-1"].get_logs()
    return [json.loads(line) for line in (out + b"\n" + err).decode().splitlines() if line.startswith("{")]


class Log:
    """The lines since it was made. A request's last line is uvicorn's."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway, self._before = gateway, len(lines(gateway))

    def errors(self, answered: int) -> list[str]:
        def complete() -> list[dict[str, Any]] | None:
            new = sorted(lines(self._gateway), key=lambda line: line["timestamp"])[self._before :]
            return new if sum(line["component"] == ACCESS for line in new) >= answered else None

        new = eventually(complete, within=30, every=0.5)
        bad = [line for line in new if line["level"] in ("ERROR", "CRITICAL") or "stacktrace" in line]
        return [str(line["message"]) for line in bad if str(line["logger"]).partition(":")[0] in OF_REQUESTS]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refused_request_logs_no_error(running: Gateway, handmade: Handmade, kind: str, path: str) -> None:
    key, log, asked = handmade(**REFUSED[kind]), Log(running), 0

    def refused() -> bool:
        nonlocal asked
        asked += 1
        return running.ask(key, path).status_code in (403, 429)

    eventually(refused, within=60, every=0.5)
    assert log.errors(asked) == []


@pytest.mark.parametrize("path", PATHS)
def test_a_revoked_key_logs_no_error(running: Gateway, handmade: Handmade, path: str) -> None:
    key = handmade()
    running.client.block_key(digest(key))
    log = Log(running)
    assert running.ask(key, path).status_code == 401
    assert log.errors(1) == []


@pytest.mark.parametrize("path", PATHS)
def test_a_mistake_of_the_client_logs_no_error(running: Gateway, handmade: Handmade, path: str) -> None:
    log = Log(running)
    assert running.ask(handmade(), path, messages="no list").status_code == 400
    assert log.errors(1) == []


@pytest.mark.parametrize("path", PATHS)
def test_twin_a_provider_that_fails_logs_an_error(running: Gateway, handmade: Handmade, path: str) -> None:
    key, log = handmade({"models": ["dead-model"]}), Log(running)
    assert running.ask(key, path, model="dead-model").status_code >= 500
    assert log.errors(1) != []
