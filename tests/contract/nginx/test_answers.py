"""nginx passes answers on: streams immediately, inner headers removed, a replica's body unchanged."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge, Limits
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

STREAMING_ROUTES = ["/v1/messages", "/v1/messages/stream", "/v1/chat/completions", "/chat/completions"]


def check_pieces(edge: Edge, path: str) -> None:
    """The first event is read while the replica still waits to be told to send the last one: no clock decides."""
    for name in edge.replicas:
        edge.tell(name, "rearm")
    with (
        edge.client(headers={"X-Test": "stream"}) as client,
        client.stream("POST", path, json={"stream": True}, timeout=httpx.Timeout(30, read=5)) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "event: message_start"
        for name in edge.replicas:
            edge.tell(name, "release")
        assert "event: message_stop" in list(lines)
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("path", STREAMING_ROUTES)
def test_a_stream_arrives_in_pieces(edge: Edge, path: str) -> None:
    check_pieces(edge, path)


def test_twin_with_buffering_the_first_piece_waits_for_the_last(careless_edge: Edge) -> None:
    with pytest.raises(httpx.ReadTimeout):
        check_pieces(careless_edge, "/v1/messages")


def test_a_client_that_leaves_takes_its_upstream_request_with_it(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge:
        with (
            edge.client(headers={"X-Test": "stream"}) as client,
            client.stream("POST", "/v1/messages", json={}) as answer,
        ):
            lines = answer.iter_lines()
            next(lines)
            assert edge.seen("litellm-1")["left"] == 0
        eventually(lambda: edge.seen("litellm-1")["left"] == 1, within=30)


def check_inner_headers_hidden(edge: Edge) -> None:
    with edge.client() as client:
        headers = client.post("/v1/messages", json={}).headers
    inner = [name for name in headers if name.startswith(("x-litellm-", "llm_provider-", "anthropic-ratelimit-"))]
    assert sorted(inner) == ["x-litellm-call-id", "x-litellm-model-group"]


def test_litellm_s_inner_headers_stay_inside(edge: Edge) -> None:
    check_inner_headers_hidden(edge)
    with edge.client() as client:
        headers = client.post("/v1/messages", json={}).headers
    assert headers["server"] == "nginx"
    assert headers["request-id"] != "the-provider-s-own"
    assert headers.get_list("x-content-type-options") == ["nosniff"]
    assert headers.get_list("request-id") == [headers["x-request-id"]]


def test_twin_without_the_list_they_are_seen(careless_edge: Edge) -> None:
    with pytest.raises(AssertionError):
        check_inner_headers_hidden(careless_edge)


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
def test_a_replica_s_own_error_passes_untouched(edge: Edge, path: str, status: int) -> None:
    with edge.client(headers={"X-Test": f"status:{status}"}) as client:
        answer = client.post(path, json={})
    assert answer.status_code == status
    assert answer.json() == {"detail": "the replica's own words"}
    assert "x-should-retry" not in answer.headers


def test_a_replica_that_says_nothing_is_a_504_and_not_asked_twice(start_edge: StartEdge) -> None:
    with start_edge(replicas=2, limits=Limits(read_timeout_s=1)) as edge, edge.client() as client:
        for name in edge.replicas:
            edge.tell(name, "hold")
        answer = client.post("/v1/messages", json={}, headers={"X-Test": "hold"})
        assert answer.status_code == 504
        assert answer.json()["error"]["type"] == "timeout_error"
        assert answer.json()["request_id"] == answer.headers["request-id"]
        assert answer.headers["x-should-retry"] == "false"
        eventually(lambda: sum(len(edge.posts(name)) for name in edge.replicas) == 1, within=20)
        [line] = eventually(lambda: [line for line in edge.access_log() if line["status"] == "504"], within=20)
        assert "," not in line["upstream_addr"]
        answer = client.post("/v1/chat/completions", json={}, headers={"X-Test": "hold"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "gateway_timeout")
