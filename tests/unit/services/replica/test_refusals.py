"""The layer around LiteLLM: the errors that it rewrites, the answers that pass, and the end of a request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tollgate.services.hooks.held import Held
from tollgate.services.hooks.ongoing import CURRENT
from tollgate.services.limits.ticket import TAKEN_OVER
from tollgate.services.replica.refusals import with_refusals

Message = dict[str, Any]
WRONG_KEY = json.dumps({"error": {"message": "x", "type": "token_not_found_in_db", "code": "401"}}).encode()


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": [(b"content-length", b"9"), *headers]}


def piece(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def answers(
    *messages: Message,
    path: str = "/v1/messages",
    before: Callable[[], Awaitable[None]] | None = None,
    agent: str = "curl/8.5.0",
) -> list[Message]:
    """The client's messages when LiteLLM sends `messages`."""
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

    sent_headers = [(b"x-request-id", b"edge-1"), (b"user-agent", agent.encode())]
    scope = {"type": "http", "path": path, "headers": sent_headers}
    asyncio.run(with_refusals(litellm)(scope, receive, send))
    return sent


def headers(message: Message) -> dict[bytes, bytes]:
    return dict(message["headers"])


def test_a_refusal_has_anthropics_form_on_messages() -> None:
    begin, body = answers(start(401), piece(WRONG_KEY[:9]), piece(WRONG_KEY[9:], more=False))
    assert begin["status"] == 401
    assert headers(begin)[b"x-should-retry"] == b"false"
    assert headers(begin)[b"request-id"] == b"edge-1"
    assert headers(begin)[b"content-length"] == str(len(body["body"])).encode()
    error = json.loads(body["body"])
    assert (error["type"], error["error"]["type"], error["request_id"]) == ("error", "authentication_error", "edge-1")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/models", "/v1/models/x", "/health"])
def test_a_refusal_has_openais_form_on_other_routes(path: str) -> None:
    begin, body = answers(start(401), piece(WRONG_KEY, more=False), path=path)
    assert headers(begin)[b"x-should-retry"] == b"false"
    error = json.loads(body["body"])["error"]
    assert (error["type"], error["code"], error["param"]) == ("authentication_error", "key_unknown", None)


def test_overload_is_529_for_anthropics_clients_and_503_for_openais() -> None:
    down = start(503), piece(b'{"error":{"type":"no_db_connection"}}', more=False)
    assert answers(*down)[0]["status"] == 529
    assert answers(*down, path="/v1/chat/completions")[0]["status"] == 503


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens"])
@pytest.mark.parametrize("kind", ["team_model_access_denied", "model_cost_map_missing", "auth_error"])
def test_what_is_not_allowed_is_424_for_claude_code_and_403_for_others(kind: str, path: str) -> None:
    refused = start(403), piece(json.dumps({"error": {"message": "x", "type": kind}}).encode(), more=False)
    shown = answers(*refused, path=path, agent="claude-cli/2.1.330 (external, cli)")
    others = answers(*refused, path=path)
    assert [shown[0]["status"], others[0]["status"]] == [424, 403]
    assert shown[0]["headers"] == others[0]["headers"] and shown[1] == others[1]
    assert json.loads(shown[1]["body"])["error"]["type"] == "permission_error"


@pytest.mark.parametrize("path", ["/key/info", "/team/list", "/health/readiness", "/metrics", "/v1/messages/x/y"])
def test_the_management_api_keeps_litellms_own_errors(path: str) -> None:
    sent = [start(401), piece(WRONG_KEY, more=False)]
    assert answers(*sent, path=path) == sent


def test_a_successful_answer_passes_piece_by_piece() -> None:
    """Each piece is sent before the next is created: the layer does not buffer."""
    order: list[str] = []

    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        for number in range(3):
            await send(start(200) if number == 0 else piece(b"data: x\n\n", more=number < 2))
            order.append(f"created {number}")

    async def send(message: Any) -> None:
        order.append("sent")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(with_refusals(litellm)({"type": "http", "path": "/v1/messages", "headers": []}, receive, send))
    assert order == ["sent", "created 0", "sent", "created 1", "sent", "created 2"]


def test_the_providers_own_limits_are_removed_from_answers() -> None:
    begin, _ = answers(start(200, (b"anthropic-ratelimit-requests-limit", b"5")), piece(b"{}", more=False))
    assert headers(begin) == {b"content-length": b"9", b"request-id": b"edge-1"}


def test_an_error_in_a_stream_becomes_an_event() -> None:
    frame = b'data: {"error": {"message": "litellm.X: boom http://vllm:8000", "type": "None", "code": "500"}}\n\n'
    *_, broken, _ = answers(start(200), piece(b"event: ping\n\n"), piece(frame), piece(b"", more=False))
    name, data = broken["body"].decode().strip().split("\n")
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))
    assert (error["type"], error["error"]["type"]) == ("error", "api_error")
    assert "vllm" not in data


def test_an_error_in_an_openai_stream_keeps_its_form() -> None:
    frame = b'data: {"error": {"message": "http://vllm:8000", "type": "None", "code": "500"}}\n\n'
    *_, broken, _ = answers(start(200), piece(frame), piece(b"", more=False), path="/v1/chat/completions")
    assert json.loads(broken["body"].removeprefix(b"data: "))["error"]["code"] == "gateway_failed"


def test_a_providers_own_error_event_passes_unchanged() -> None:
    frame = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    assert answers(start(200), piece(frame), piece(b"", more=False))[1]["body"] == frame


# ---- when a request ends


class Holding(Held):
    """Notes what the layer tells it."""

    def __init__(self, order: list[Any], handed_over: bool = False) -> None:
        self.order, self.handed_over = order, handed_over

    async def answered(self) -> None:
        if KEPT not in self.order and REFUNDED not in self.order:
            self.order.append(KEPT)

    async def refused(self, counts: bool) -> None:
        self.order.append("given back, counts" if counts else REFUNDED)


KEPT, REFUNDED = "free", "given back"


def ended(*messages: Message, path: str = "/v1/messages") -> list[Any]:
    """The order in which the client got pieces and the request gave back what it held."""
    order: list[Any] = []

    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        CURRENT.get().held = Holding(order)
        for message in messages:
            await send(message)

    async def send(message: Any) -> None:
        order.append(message.get("body", message["type"]))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    asyncio.run(with_refusals(litellm)({"type": "http", "path": path, "headers": []}, receive, send))
    return order


def test_a_request_ends_before_the_client_sees_the_end() -> None:
    assert ended(start(200), piece(b"{}", more=False)) == ["http.response.start", KEPT, b"{}"]


@pytest.mark.parametrize("last", [b"event: message_stop\ndata: {}\n\n", b"data: x\n\ndata: [DONE]\n\n"])
def test_a_stream_ends_with_its_last_event(last: bytes) -> None:
    begin, first, given, final, _ = ended(start(200), piece(b"data: x\n\n"), piece(last), piece(b"", more=False))
    assert (begin, first, given, final) == ("http.response.start", b"data: x\n\n", KEPT, last)


def test_a_models_text_cannot_end_its_stream() -> None:
    """Otherwise a tenant could run more requests at once than its limit."""
    text = b'event: content_block_delta\ndata: {"text":"\\nevent: message_stop"}\n\n'
    assert ended(start(200), piece(text), piece(b"", more=False)) == ["http.response.start", text, KEPT, b""]


def test_a_disconnect_of_the_client_ends_a_request_too() -> None:
    assert ended(start(200), piece(b"data: x\n\n")) == ["http.response.start", b"data: x\n\n", KEPT]


def test_a_refusal_of_the_gateway_is_given_back() -> None:
    assert ended(start(401), piece(WRONG_KEY, more=False))[0] == REFUNDED


# ---- a request that a gateway process has let in


def handed_over(*, taken_over: bool, status: int = 200) -> tuple[list[tuple[bytes, bytes]], str, Message]:
    """The headers that LiteLLM sees, the ticket that the hook sees, and the beginning of the answer."""
    seen: list[Any] = []
    sent: list[Message] = []

    async def litellm(scope: Any, receive: Any, send: Any) -> None:
        ongoing = CURRENT.get()
        seen.extend((scope["headers"], ongoing.ticket))
        if taken_over:
            ongoing.held = Holding([], handed_over=True)
        await send(start(status))
        await send(piece(b"{}", more=False))

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "path": "/v1/messages", "headers": [(b"X-Tollgate-Admitted", b"words"), (b"a", b"b")]}
    asyncio.run(with_refusals(litellm)(scope, receive, send))
    return seen[0], seen[1], sent[0]


@pytest.mark.parametrize("status", [200, 400, 529])
def test_the_answer_says_that_the_replica_settles_the_request(status: int) -> None:
    seen, ticket, begin = handed_over(taken_over=True, status=status)
    assert (seen, ticket) == ([(b"a", b"b")], "words"), "LiteLLM logs and forwards no ticket"
    assert headers(begin)[TAKEN_OVER] == b"1"


@pytest.mark.parametrize("status", [200, 400])
def test_twin_without_a_valid_ticket_it_does_not(status: int) -> None:
    assert TAKEN_OVER not in headers(handed_over(taken_over=False, status=status)[2])


def test_two_requests_do_not_share_their_state() -> None:
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
