"""The layer around LiteLLM: what it turns into refusals, what it lets pass untouched, and when a request ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tollgate.services.hooks.ongoing import CURRENT
from tollgate.services.replica.refusals import with_refusals

Message = dict[str, Any]
WRONG_KEY = json.dumps({"error": {"message": "x", "type": "token_not_found_in_db", "code": "401"}}).encode()


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"9"), *headers]}


def piece(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def answers(
    *messages: Message, path: str = "/v1/messages", before: Callable[[], Awaitable[None]] | None = None
) -> list[Message]:
    """What a client gets when LiteLLM sends `messages`."""
    sent: list[Message] = []

    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        if before is not None:
            await before()
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "path": path, "headers": [(b"x-request-id", b"edge-1")]}
    asyncio.run(with_refusals(litellm)(scope, receive, send))
    return sent


def headers(message: Message) -> dict[bytes, bytes]:
    return dict(message["headers"])


def test_a_refusal_has_anthropics_shape_on_messages() -> None:
    begin, body = answers(start(401), piece(WRONG_KEY[:9]), piece(WRONG_KEY[9:], more=False))
    assert begin["status"] == 401
    assert headers(begin)[b"x-should-retry"] == b"false"
    assert headers(begin)[b"request-id"] == b"edge-1"
    assert headers(begin)[b"content-length"] == str(len(body["body"])).encode()
    said = json.loads(body["body"])
    assert (said["type"], said["error"]["type"], said["request_id"]) == ("error", "authentication_error", "edge-1")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/x", "/health"])
def test_and_openais_shape_with_the_same_headers_elsewhere(path: str) -> None:
    begin, body = answers(start(401), piece(WRONG_KEY, more=False), path=path)
    assert headers(begin)[b"x-should-retry"] == b"false"
    error = json.loads(body["body"])["error"]
    assert (error["type"], error["code"], error["param"]) == ("authentication_error", "key_unknown", None)


def test_overload_is_529_for_anthropics_clients_and_503_for_openais() -> None:
    down = start(503), piece(b'{"error":{"type":"no_db_connection"}}', more=False)
    assert answers(*down)[0]["status"] == 529
    assert answers(*down, path="/v1/chat/completions")[0]["status"] == 503


@pytest.mark.parametrize("path", ["/key/info", "/team/list", "/health/readiness", "/metrics", "/v1/messages/x/y"])
def test_the_management_api_keeps_litellms_own_errors(path: str) -> None:
    sent = [start(401), piece(WRONG_KEY, more=False)]
    assert answers(*sent, path=path) == sent


def test_what_succeeds_passes_piece_by_piece() -> None:
    """Each piece goes out before the next is made: the layer holds nothing back."""
    order: list[str] = []

    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        for number in range(3):
            await send(start(200) if number == 0 else piece(b"data: x\n\n", more=number < 2))
            order.append(f"made {number}")

    async def send(message: Any) -> None:
        order.append("sent")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(with_refusals(litellm)({"type": "http", "path": "/v1/messages", "headers": []}, receive, send))
    assert order == ["sent", "made 0", "sent", "made 1", "sent", "made 2"]


def test_the_providers_own_limits_are_taken_out_of_what_succeeds() -> None:
    begin, _ = answers(start(200, (b"anthropic-ratelimit-requests-limit", b"5")), piece(b"{}", more=False))
    assert headers(begin) == {b"content-length": b"9", b"request-id": b"edge-1"}


def test_an_error_in_a_stream_becomes_an_event() -> None:
    frame = b'data: {"error": {"message": "litellm.X: boom http://vllm:8000", "type": "None", "code": "500"}}\n\n'
    *_, broken, _ = answers(start(200), piece(b"event: ping\n\n"), piece(frame), piece(b"", more=False))
    name, data = broken["body"].decode().strip().split("\n")
    assert name == "event: error"
    said = json.loads(data.removeprefix("data: "))
    assert (said["type"], said["error"]["type"]) == ("error", "api_error")
    assert "vllm" not in data


def test_an_error_in_a_stream_of_openais_keeps_its_shape() -> None:
    frame = b'data: {"error": {"message": "http://vllm:8000", "type": "None", "code": "500"}}\n\n'
    *_, broken, _ = answers(start(200), piece(frame), piece(b"", more=False), path="/v1/chat/completions")
    assert json.loads(broken["body"].removeprefix(b"data: "))["error"]["code"] == "gateway_failed"


def test_a_providers_own_error_event_passes_as_it_is() -> None:
    frame = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    assert answers(start(200), piece(frame), piece(b"", more=False))[1]["body"] == frame


# ---- when a request ends


def ended(*messages: Message, path: str = "/v1/messages") -> list[Any]:
    """In which order the client got pieces, and what the request held was given back (with or without refund)."""
    order: list[Any] = []

    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        async def settle(refund: bool) -> None:
            order.append(f"given back, refund={refund}")

        CURRENT.get().settle = settle
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        order.append(message.get("body", message["type"]))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(with_refusals(litellm)({"type": "http", "path": path, "headers": []}, receive, send))
    return order


KEPT = "given back, refund=False"


def test_it_ends_before_the_client_sees_the_end() -> None:
    assert ended(start(200), piece(b"{}", more=False)) == ["http.response.start", KEPT, b"{}"]


@pytest.mark.parametrize("last", [b"event: message_stop\ndata: {}\n\n", b"data: x\n\ndata: [DONE]\n\n"])
def test_a_stream_ends_with_its_last_event(last: bytes) -> None:
    begin, first, given, final, _ = ended(start(200), piece(b"data: x\n\n"), piece(last), piece(b"", more=False))
    assert (begin, first, given, final) == ("http.response.start", b"data: x\n\n", KEPT, last)


def test_a_model_cannot_end_its_stream_by_talking_of_it() -> None:
    """Or a tenant could have more running at once than it may."""
    text = b'event: content_block_delta\ndata: {"text":"\\nevent: message_stop"}\n\n'
    assert ended(start(200), piece(text), piece(b"", more=False)) == ["http.response.start", text, KEPT, b""]


def test_a_client_that_goes_away_ends_it_too() -> None:
    assert ended(start(200), piece(b"data: x\n\n")) == ["http.response.start", b"data: x\n\n", KEPT]


def test_what_the_gateway_refuses_is_refunded() -> None:
    assert ended(start(401), piece(WRONG_KEY, more=False))[0] == "given back, refund=True"


def test_two_requests_do_not_share_what_is_known_of_them() -> None:
    seen = []

    async def note() -> None:
        seen.append(CURRENT.get())

    for _ in range(2):
        answers(start(200), piece(b"{}", more=False), before=note)
    assert seen[0] is not seen[1]


def test_other_protocols_pass() -> None:
    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {}

    asyncio.run(with_refusals(litellm)({"type": "lifespan"}, receive, send))
    assert sent == [{"type": "lifespan.startup.complete"}]
