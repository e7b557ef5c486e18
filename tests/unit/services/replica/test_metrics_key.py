"""A user of the host who reaches a replica by its container's address cannot read metrics."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tollgate.services.replica.metrics_key import with_metrics_key

KEY = "of-a-test"


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"litellm_spend{team=acme} 1"})


def ask(path: str, *authorizations: str, key: str = KEY, name: str = "authorization") -> int:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(name.encode(), value.encode()) for value in authorizations]
    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(with_metrics_key(application, key)(scope, None, send))  # type: ignore[arg-type]
    assert (sent[0]["status"] == 200) == (b"acme" in sent[1]["body"])
    return int(sent[0]["status"])


PATHS = ["/metrics", "/metrics/", "//metrics/", "/METRICS/", "/metrics//", "/metrics/x"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "given",
    [
        *[(), ("",), ("Bearer ",), ("Bearer",), (KEY,), ("Bearer sk-of-a-tenant",), (f"bearer {KEY}",)],
        *[(f"Bearer {KEY} ",), (f"Bearer {KEY}", "Bearer x"), (f"Basic {KEY}",)],
    ],
)
def test_metrics_are_refused_without_the_key(path: str, given: tuple[str, ...]) -> None:
    assert ask(path, *given) == 401


@pytest.mark.parametrize("path", PATHS)
def test_twin_prometheus_can_read_them(path: str) -> None:
    assert ask(path, f"Bearer {KEY}") == 200
    assert ask(path, f"Bearer {KEY}", name="Authorization") == 200


@pytest.mark.parametrize("given", ["Bearer ", "Bearer None", ""])
def test_a_replica_without_a_key_shows_no_metrics(given: str) -> None:
    assert ask("/metrics/", given, key="") == 401


@pytest.mark.parametrize("path", ["/v1/messages", "/health/liveliness", "/metricsx", "/v1/models/metrics", "/"])
def test_other_paths_pass(path: str) -> None:
    assert ask(path) == 200


def test_messages_that_are_no_http_requests_pass() -> None:
    seen = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    asyncio.run(with_metrics_key(lifespan, KEY)({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
    assert seen == ["lifespan"]
