"""Attacks on the edge, tried: whatever is sent, no replica may see a request that the allow-list does not know."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tests.support import plain
from tests.support.eventually import eventually
from tollgate.render.nginx import ROUTES

pytestmark = pytest.mark.docker

ALLOWED = {route.upstream for route in ROUTES} | {"/health/liveliness"}
KEY = "Authorization: Bearer sk-test-key-0001\r\n"
# The smuggled request. If a server ever read it as a request, a replica would record it.
INNER = f"POST /key/generate HTTP/1.1\r\nHost: x\r\n{KEY}X-Smuggled: yes\r\nContent-Length: 2\r\n\r\n{{}}"
POST = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\n{KEY}"

SMUGGLING = {
    "CL.TE": f"{POST}Content-Length: {len(INNER) + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}",
    "TE.CL": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{len(INNER):x}\r\n{INNER}\r\n0\r\n\r\n",
    "TE.TE": f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n{INNER}",
    "TE with a list": f"{POST}Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{INNER}",
    "TE misspelt": f"{POST}Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{INNER}",
    "space before the colon": f"{POST}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{INNER}",
    "TE with a tab": f"{POST}Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{INNER}",
    "TE of HTTP/1.0": f"POST /v1/messages HTTP/1.0\r\n{KEY}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{INNER}",
    "two lengths": f"{POST}Content-Length: 0\r\nContent-Length: {len(INNER)}\r\n\r\n{INNER}",
    "the same length twice": f"{POST}Content-Length: 0\r\nContent-Length: 0\r\n\r\n{INNER}",
    "a list of lengths": f"{POST}Content-Length: 0, {len(INNER)}\r\n\r\n{INNER}",
    "a signed length": f"{POST}Content-Length: +0\r\n\r\n{INNER}",
    "a negative length": f"{POST}Content-Length: -1\r\n\r\n{INNER}",
    "a hexadecimal length": f"{POST}Content-Length: 0x0\r\n\r\n{INNER}",
    "a length beyond all numbers": f"{POST}Content-Length: 18446744073709551616\r\n\r\n{INNER}",
    "a folded length": f"{POST}Content-Length:\r\n {len(INNER)}\r\n\r\n{INNER}",
    "a folded header hides the framing": f"{POST}X-A: b\r\n Transfer-Encoding: chunked\r\n"
    f"Content-Length: 5\r\n\r\n0\r\n\r\n{INNER}",
    "a bare CR hides the framing": f"{POST}X-A: b\rTransfer-Encoding: chunked\r\n"
    f"Content-Length: 5\r\n\r\n0\r\n\r\n{INNER}",
    "a NUL in a header": f"{POST}X-A: b\0c\r\nContent-Length: 0\r\n\r\n{INNER}",
    "bare LF": f"{POST}Content-Length: 5\n\n0\r\n\r\n{INNER}",
    "a chunk's extension hides a line": f"{POST}Transfer-Encoding: chunked\r\n\r\n2;\nxx\r\n{{}}\r\n0\r\n\r\n{INNER}",
    "a chunk beyond all numbers": f"{POST}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{INNER}",
    "a chunk that is no number": f"{POST}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n{INNER}",
    "trailers": f"{POST}Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 0\r\n\r\n{INNER}",
    "a body on a GET": f"GET /v1/models HTTP/1.1\r\nHost: x\r\n{KEY}Content-Length: {len(INNER)}\r\n\r\n{INNER}",
    "hop-by-hop length": f"{POST}Connection: Content-Length\r\nContent-Length: {len(INNER)}\r\n\r\n{INNER}",
    "an upgrade": f"{POST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    f"Content-Length: 0\r\n\r\n{INNER}",
    "a websocket": f"{POST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    f"Content-Length: 0\r\n\r\n{INNER}",
    "expectations": f"{POST}Expect: 100-continue\r\nContent-Length: 0\r\n\r\n{INNER}",
    "no version": f"POST /v1/messages\r\n\r\n{INNER}",
}

ADMIN = "/key/generate"
TARGETS = [
    f"http://litellm{ADMIN}",
    f"http://litellm-1:4000{ADMIN}",
    f"https://127.0.0.1:4001{ADMIN}",
    f"//litellm-1:4000{ADMIN}",
    f"//{ADMIN}",
    f"/v1/..{ADMIN}",
    f"/v1/messages/..;{ADMIN}",
    f"/v1/messages/..;/..{ADMIN}",
    f"/v1/%2e%2e{ADMIN}",
    f"/v1/%252e%252e{ADMIN}",
    f"/v1/%c0%ae%c0%ae{ADMIN}",
    f"/v1/messages%2f..%2f..{ADMIN}",
    f"/v1/messages\\..\\..{ADMIN}",
    f"/v1/messages/%5c..%5c..{ADMIN}",
    f"/v1/messages%23/..{ADMIN}",
    f"/v1/messages%3f/..{ADMIN}",
    f"/v1/messages%0d%0aHost:%20y%0d%0a{ADMIN}",
    f"/v1/models/..%252f..{ADMIN}",
    "/v1/models/%2e%2e%2fkey%2fgenerate",
    "/v1/models/..",
    "/v1/models/.",
    "/%6bey/generate",
    "/Key/Generate",
    "/key/generate/",
    "/key/generate;a=b",
    "/key/generate%00",
    "/key/generate%20",
    "/key%2fgenerate",
    "/./key/./generate",
    "/v1/key/generate",
    "/litellm/key/generate",
    "*",
    "key/generate",
]
METHODS = ["POST", "GET", "CONNECT", "PURGE", "PROPFIND", "post"]

HOSTS = [
    "litellm-1:4000",
    "127.0.0.1:4001",
    "localhost:8081",
    "x/key/generate",
    "x:99999",
    "x@litellm-1",
    "[::1]",
    "a b",
]
REWRITES = (
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Original-URI",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Accel-Redirect",
)


def sent(edge: Edge, request: str, patience: float = 10) -> bytes:
    """Everything nginx answers to these bytes until it closes or falls silent."""
    host, port = edge.url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=patience) as connection:
        try:
            connection.sendall(request.encode("latin-1"))
            while piece := connection.recv(65536):
                answer += piece
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return answer


def strangers(edge: Edge) -> list[dict[str, object]]:
    """Requests at the replicas that no rule of the edge lets through."""
    seen = [request for name in edge.replicas for request in edge.seen(name)["seen"]]
    return [
        request
        for request in seen
        if (request["path"] not in ALLOWED and not str(request["path"]).startswith("/v1/models/"))
        or ".." in str(request["path"])
        or "x-smuggled" in dict(request["headers"])
        or {"upgrade", "transfer-encoding"} <= dict(request["headers"]).keys()
    ]


def check_unharmed(edge: Edge) -> None:
    assert strangers(edge) == []
    with edge.client(headers={"Authorization": "Bearer sk-test-key-0001"}) as client:
        assert client.post("/v1/messages", json={}).status_code == 200


def statuses(answer: bytes) -> list[bytes]:
    return [line.split(b" ")[1] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def test_no_request_is_smuggled_in(edge: Edge) -> None:
    """Either refused as malformed, or the inner request is one that nginx itself read, and answered 404."""
    for name, attack in SMUGGLING.items():
        answer = sent(edge, attack, patience=1)
        assert set(statuses(answer)) <= {b"100", b"200", b"400", b"404", b"405", b"413", b"414", b"505"}, (
            name,
            answer[:200],
        )
        assert not strangers(edge), name
        assert b"x-smuggled" not in answer, f"{name}: a replica read the inner request as its own"
    check_unharmed(edge)


def test_no_path_leads_to_an_admin_route(edge: Edge) -> None:
    for method in METHODS:
        for target in TARGETS:
            answer = sent(
                edge, f"{method} {target} HTTP/1.1\r\nHost: x\r\n{KEY}Content-Length: 0\r\nConnection: close\r\n\r\n"
            )
            assert statuses(answer)[:1] in ([b"404"], [b"400"], [b"405"]), (method, target, answer[:200])
            assert_tells_nothing(edge, answer)
    check_unharmed(edge)


def test_no_host_and_no_header_leads_to_an_admin_route(edge: Edge) -> None:
    for host in HOSTS:
        answer = sent(
            edge, f"POST {ADMIN} HTTP/1.1\r\nHost: {host}\r\n{KEY}Content-Length: 0\r\nConnection: close\r\n\r\n"
        )
        assert statuses(answer)[:1] in ([b"404"], [b"400"]), (host, answer[:200])
    for header in REWRITES:
        answer = sent(edge, f"{POST}{header}: {ADMIN}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        assert statuses(answer) == [b"200"], header
    check_unharmed(edge)


def test_twin_on_an_edge_without_the_allow_list_the_same_check_sees_them(careless_edge: Edge) -> None:
    sent(careless_edge, f"POST {ADMIN} HTTP/1.1\r\nHost: x\r\n{KEY}Content-Length: 0\r\nConnection: close\r\n\r\n")
    with pytest.raises(AssertionError):
        check_unharmed(careless_edge)


def assert_tells_nothing(edge: Edge, answer: bytes) -> None:
    """No version, no address, nothing of what was asked."""
    text = answer.decode("latin-1").lower()
    inside = [edge.ip(name) for name in edge.replicas]
    assert not [word for word in ("nginx/", "litellm", "generate", "traceback", "<html", *inside) if word in text], text


@pytest.mark.parametrize(
    "headers",
    [
        "X-Long: " + "x" * 200_000,
        "\r\n".join(f"X-{n}: {'x' * 4000}" for n in range(100)),
        "\r\n".join(["X: y"] * 30_000),
    ],
    ids=["one long", "many long", "very many"],
)
def test_oversized_headers_are_refused_before_a_replica_sees_them(edge: Edge, headers: str) -> None:
    before = sum(len(edge.posts(name)) for name in edge.replicas)
    answer = sent(edge, f"{POST}{headers}\r\nContent-Length: 0\r\n\r\n")
    assert statuses(answer)[:1] in ([b"431"], [b"400"], []), answer[:200]  # [] where it was cut off in the middle
    assert sum(len(edge.posts(name)) for name in edge.replicas) == before
    assert_tells_nothing(edge, answer)
    check_unharmed(edge)


# ---- the log

TRICKS = {
    "User-Agent": 'x","status":"200","uri":"/forged" \x1b[2J\x1b]0;owned\x07',
    "X-Request-Id": 'a","status":"200',
    "X-Claude-Code-Session-Id": 'b"}{"time":"forged"}',
    "X-Claude-Code-Agent-Id": "c\\u0022,",
}


def log_of(edge: Edge, mark: str) -> str:
    eventually(lambda: mark in edge.log(), within=20)
    return "\n".join(line for line in edge.log().splitlines() if mark in line)


def test_a_header_forges_no_line_and_no_field_of_the_log(edge: Edge) -> None:
    mark = "/no-such-route-forging"
    fields = "".join(f"{name}: {value}\r\n" for name, value in {**TRICKS, "Connection": "close"}.items())
    sent(
        edge,
        f'GET {mark}/%0a%22,%22status%22:%22200?"model"=x%0aforged HTTP/1.1\r\nHost: x\r\n{fields}\r\n',
    )
    lines = log_of(edge, mark).splitlines()
    assert len(lines) == 1
    entry = json.loads(lines[0])
    assert entry["status"] == "404"
    assert (entry["session"], entry["agent"]) == ("", "")
    assert "forged" not in entry["request_id"]
    assert not [sign for sign in ("\x1b", "\x07") if sign in lines[0]]


def test_a_model_s_name_is_in_no_line_of_the_log(edge: Edge) -> None:
    name = 'forged-model\n{"time":"now","status":"200"}\x1b[2J'
    with edge.client(headers={"User-Agent": "mark-of-the-model-test"}) as client:
        assert client.post("/v1/messages", json={"model": name}).status_code == 200
        client.get(f"/v1/models/{httpx.QueryParams({'m': name})}")
    eventually(lambda: edge.log().count("mark-of-the-model-test") >= 2, within=20)
    assert '{"time":"now"' not in edge.log()
    assert "\x1b" not in edge.log()


# ---- many connections, and slow ones


def direct(edge: Edge) -> tuple[str, int]:
    """nginx's own address: a published port goes through a process of Docker's that has limits of its own."""
    container = edge.nginx.get_wrapped_container()
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][edge.network.name]["IPAddress"]), 4000


@pytest.fixture
def connections(edge: Edge) -> Iterator[list[socket.socket]]:
    opened: list[socket.socket] = []
    yield opened
    for connection in opened:
        # Reset, for else each keeps its port for a minute, and Docker cannot give that to the next container.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def test_10_000_idle_connections_keep_nobody_out(edge: Edge, connections: list[socket.socket]) -> None:
    place = direct(edge)
    for number in range(10_000):
        connections.append(socket.create_connection(place, timeout=20))
        if number % 1000 == 999:
            assert plain.post(f"{edge.url}/v1/messages", json={}, timeout=20).status_code == 200, number
    with edge.client() as client:
        assert {client.post("/v1/messages", json={}).status_code for _ in range(20)} == {200}


HASTE = {
    "nginx.conf": (
        "client_header_timeout 30s;\n    client_body_timeout 60s;",
        "client_header_timeout 2s;\n    client_body_timeout 2s;",
    )
}


@pytest.fixture(scope="module")
def hasty_edge(start_edge: StartEdge) -> Iterator[Edge]:
    """The same edge with its timeouts cut to what a test can wait for."""
    with start_edge(replicas=1, edits=HASTE) as edge:
        yield edge


def stays_open(edge: Edge, beginning: str, seconds: float) -> bool:
    with socket.create_connection(direct(edge), timeout=seconds) as connection:
        connection.sendall(beginning.encode())
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            return True
        except ConnectionResetError:
            return False
        return False


@pytest.mark.parametrize(
    "beginning",
    ["POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-A: ", f"{POST}Content-Length: 1000\r\n\r\nx"],
    ids=["head", "body"],
)
def test_slow_senders_are_let_go_while_others_are_answered(hasty_edge: Edge, beginning: str) -> None:
    place, opened = direct(hasty_edge), []
    try:
        for _ in range(500):
            opened.append(socket.create_connection(place, timeout=20))
            opened[-1].sendall(beginning.encode())
        with hasty_edge.client() as client:
            assert {client.post("/v1/messages", json={}).status_code for _ in range(20)} == {200}
        before = len(hasty_edge.posts("litellm-1"))
        for connection in opened:
            connection.settimeout(30)
            try:
                while connection.recv(4096):
                    pass
            except ConnectionResetError:
                pass
        assert len(hasty_edge.posts("litellm-1")) == before, "half a request reached a replica"
    finally:
        for connection in opened:
            connection.close()


def test_twin_with_the_shipped_timeouts_it_is_waited_for_longer(edge: Edge) -> None:
    assert stays_open(edge, "GET / HTTP/1.1\r\nX-A: ", 4)
