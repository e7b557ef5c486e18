"""A reload closes idle connections, even if a client is about to send. So the public listener keeps no connection."""

from __future__ import annotations

import http.client
import threading
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge, Limits
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

KEPT = {"snippets/one-request.conf": ("keepalive_timeout 0;", "keepalive_timeout 75s;")}
RELOADED = "reloaded; replicas:"


def connection(edge: Edge) -> http.client.HTTPConnection:
    address = urlsplit(edge.url)
    assert address.hostname
    return http.client.HTTPConnection(address.hostname, address.port, timeout=30)


def reload(edge: Edge) -> None:
    """A replica is drained and put back."""
    for change in (edge.drain, edge.put_back):
        reloads = edge.log().count(RELOADED)
        change("litellm-1")
        eventually(lambda reloads=reloads: edge.log().count(RELOADED) > reloads, within=30)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/messages"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/test-model"),
        ("GET", "/gateway/health"),
        ("HEAD", "/"),
        ("HEAD", "/api/hello"),
        ("GET", "/v1/messages"),
        ("GET", "/key/info"),
    ],
)
def test_a_connection_ends_with_its_answer(edge: Edge, method: str, path: str) -> None:
    with closing(connection(edge)) as asking:
        asking.request(method, path, body="{}" if method == "POST" else None)
        answer = asking.getresponse()
        answer.read()
        assert answer.getheader("connection") == "close"


def test_reloads_under_requests_fail_none(start_edge: StartEdge) -> None:
    """Clients that would keep their connections if they were let."""
    answers: list[str] = []
    ended = threading.Event()

    def ask() -> None:
        with edge.client() as client:
            while not ended.wait(0.01):
                try:
                    status = str(client.post("/v1/messages", json={}).status_code)
                except httpx.HTTPError as error:
                    status = repr(error)
                answers.append(status)

    # They come from one address, and so share one rate: none that a fast machine reaches.
    with start_edge(limits=Limits(requests_per_second=10_000, burst=10_000)) as edge:
        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            for _ in range(3):
                reload(edge)
        finally:
            ended.set()
            for client in clients:
                client.join()
    assert set(answers) == {"200"}


def test_twin_a_connection_that_is_kept_is_closed_by_a_reload(start_edge: StartEdge) -> None:
    """The reason for the rule above: nginx closes the client's idle connection, and its next request is lost."""
    with start_edge(edits=KEPT) as edge, closing(connection(edge)) as asking:
        asking.request("POST", "/v1/messages", body="{}")
        answer = asking.getresponse()
        answer.read()
        assert answer.getheader("connection") != "close"
        assert asking.sock is not None
        reload(edge)
        assert asking.sock.recv(1) == b""
