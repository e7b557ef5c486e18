"""The console on the running stack: on the admin listener only, with figures of every part that it names."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support import plain
from tests.support.eventually import eventually
from tests.support.stack import Stack

TENANT = "bookkeeper"
DATA = ("/console/state", "/console/panels")
pytestmark = pytest.mark.usefixtures("gateway_processes")


def ask(stack: Stack, path: str, key: str, url: str = "") -> httpx.Response:
    return plain.get(f"{url or stack.admin_url}{path}", headers={"x-api-key": key}, timeout=60, trust_env=False)


def told(stack: Stack, path: str) -> Any:
    return ask(stack, path, stack.secret("litellm_master_key")).raise_for_status().json()


def test_the_console_is_closed_to_tenants_and_on_the_public_listener(stack: Stack) -> None:
    for path in DATA:
        assert ask(stack, path, stack.key(TENANT)).status_code == 403
        assert ask(stack, path, stack.secret("litellm_master_key"), stack.url).status_code == 404
    assert ask(stack, "/console", "", stack.url).status_code == 404
    page = ask(stack, "/console", "").raise_for_status()
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_every_part_answers_the_console(stack: Stack) -> None:
    def all_answer() -> Any:
        state = told(stack, "/console/state")
        parts = [state[part]["problem"] for part in ("postgres", "redis", "nginx", "money")]
        assert parts == [None] * 4
        return state

    state = eventually(all_answer, within=60, every=10)
    settings = stack.deployment.settings
    names = {server["name"] for server in state["nginx"]["servers"]}
    assert len(names) == settings.replicas + settings.gateways
    assert state["process"]["name"] in names and state["litellm"]["version"]
    assert TENANT in {tenant["id"] for tenant in state["money"]["tenants"]}


def test_prometheus_answers_every_panel(stack: Stack) -> None:
    def all_known() -> Any:
        found = told(stack, "/console/panels")
        assert [panel["title"] for panel in found["panels"] if panel["problem"]] == []
        up = next(panel for panel in found["panels"] if panel["title"] == "Gateway processes up")
        assert up["series"][0]["values"] == [1], "all of them"
        assert found["alerts"]["watchdog"] is True
        return found

    eventually(all_known, within=120, every=10)


def test_no_secret_is_in_an_answer(stack: Stack) -> None:
    for path in DATA:
        text = ask(stack, path, stack.secret("litellm_master_key")).text
        assert not [name for name, value in stack.secret_values().items() if value in text]
