"""The layer around LiteLLM removes the provider's headers and changes nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from tollgate.services.replica.headers import without_provider_headers

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"LLM_Provider-x-request-id", b"1"), (b"x-litellm-call-id", b"2"), (b"llm_provider-date", b"3")],
}
PIECES = [{"type": "http.response.body", "body": b"a", "more_body": True}, {"type": "http.response.body", "body": b"b"}]


def answers(application: Any, kind: str = "http") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    asyncio.run(application({"type": kind}, receive, send))
    return sent


async def litellm(scope: Any, receive: Any, send: Any) -> None:
    for message in [START, *PIECES]:
        await send(message)


def test_only_the_providers_headers_are_removed() -> None:
    start, *body = answers(without_provider_headers(litellm))
    assert start == {**START, "headers": [(b"x-litellm-call-id", b"2")]}
    assert body == PIECES


def test_twin_without_the_layer_they_are_present() -> None:
    assert answers(litellm)[0] == START


def test_lifespan_messages_pass_unchanged() -> None:
    assert answers(without_provider_headers(litellm), "lifespan")[0] is START
