"""The direct route is turned off: one line in .env and a deploy, under traffic."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.stack.requests import message
from tests.support.eventually import eventually
from tests.support.routes import DIRECT, LITELLM, ROUTES, Switched, route_of
from tests.support.stack import Stack

pytestmark = [
    pytest.mark.on_both_routes,
    pytest.mark.skipif(len(ROUTES) == 1, reason="this stack has no gateway processes"),
]


def test_the_health_of_the_gateway_names_the_route(stack: Stack, route: str) -> None:
    assert route_of(stack) == route


def test_turning_the_direct_route_off_fails_no_request(route: str, switches: list[Switched], stack: Stack) -> None:
    """Every gateway process is replaced, drained first; no replica, no database and no nginx is."""
    if route == DIRECT:
        assert switches == [], "the direct route is the default"
        return
    [switched] = switches
    assert set(switched.changes) >= {"started gateway-1", "started gateway-2"}
    assert not [change for change in switched.changes if change.startswith(("started litellm", "started nginx"))]
    assert switched.traffic.failures == []
    assert switched.traffic.streams > 0 < switched.traffic.answers
    assert "BYPASS_LITELLM_ENABLED=false" in stack.site.env_file.read_text()


def test_the_log_says_who_served(stack: Stack, route: str, developer: httpx.Client) -> None:
    """`route` and, on LiteLLM's, why: in the gateway process's own line."""
    answer = developer.post("/v1/messages", json=message())
    identity = answer.headers["request-id"]

    def line() -> dict[str, str] | None:
        text = [line for name in ("gateway-1", "gateway-2") for line in stack.compose.tail(name, 200)]
        rows = (json.loads(line) for line in text if identity in line)
        return next((row for row in rows if row.get("request_id") == identity and "route" in row), None)

    row = eventually(line, within=20)
    expected = {DIRECT: (DIRECT, ""), LITELLM: (LITELLM, "bypass_off")}[route]
    assert (row["route"], row.get("reason", "")) == expected
