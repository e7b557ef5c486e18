"""The routes for clients on 4000, the routes for operators on 4001, and the routes that are closed on both."""

from __future__ import annotations

import json
import socket

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import VERSION, Edge, address
from tests.support import plain
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

POSTS = {
    "/v1/messages": "/v1/messages",
    "/v1/messages/stream": "/v1/messages",
    "/v1/messages/count_tokens": "/v1/messages/count_tokens",
    "/v1/chat/completions": "/v1/chat/completions",
    "/chat/completions": "/v1/chat/completions",
    "/v1/completions": "/v1/completions",
    "/completions": "/v1/completions",
    "/v1/embeddings": "/v1/embeddings",
    "/embeddings": "/v1/embeddings",
}
GETS = {
    "/v1/models": "/v1/models",
    "/models": "/v1/models",
    "/v1/models/claude-sonnet-4.5:x@y": "/v1/models/claude-sonnet-4.5:x@y",
    "/models/big": "/v1/models/big",
    "/health": "/health",
}
CLOSED = [
    "/key/generate",
    "/key/info",
    "/team/new",
    "/user/new",
    "/model/info",
    "/v1/model/info",
    "/spend/logs",
    "/ui/",
    "/sso/key/generate",
    "/docs",
    "/redoc",
    "/openapi.json",
    "/metrics",
    "/metrics/",
    "/debug/asyncio-tasks",
    "/routes",
    "/health/readiness",
    "/health/liveliness",
    "/health/services",
    "/config/yaml",
    "/v1/responses",
    "/v1/responses/resp_1",
    "/v1/files",
    "/v1/files/file-1",
    "/v1/files/file-1/content",
    "/v1/batches",
    "/v1/batches/batch_1",
    "/v1/messages/batches",
    "/v1/messages/batches/msgbatch_1/results",
    "/v1/threads/thread_1",
    "/v1/vector_stores",
    "/v1/assistants",
    "/team/info",
    "/user/info",
    "/spend/keys",
    "/anthropic/v1/messages",
    "/openai/v1/chat/completions",
    "/mcp",
    "/-/replica-alive",
    "/-/bad_request",
    "/stub_status",
    "/_seen",
    "/console",
    "/console/page.js",
    "/console/state",
    "/console/panels",
    # the same by other spellings
    "//key/generate",
    "/v1//messages",
    "//v1/messages",
    "/v1/messages/",
    "/v1/messages/../../key/generate",
    "/anthropic/../v1/messages",
    "/anthropic/%2e%2e/v1/messages",
    "/v1/%2e%2e/key/generate",
    "/v1/models/../key/info",
    "/v1/models/..%2f..%2fkey%2finfo",
    "/v1/models/%2e%2e/%2e%2e/key/info",
    "/v1/models/x/y",
    "/v1/%6dessages",
    "/v1%2Fmessages",
    "/V1/Messages",
    "/KEY/generate",
    "/v1/messages;x=1",
    "/v1/messages%00",
    "/v1/messages%20",
    "/v1\\messages",
    "/./v1/messages",
]

# Paths that LiteLLM serves as its metrics, without a key.
METRICS = [
    "/metrics",
    "/metrics/",
    "/metrics?x=/key/info",
    "/metrics/anything",
    "/%6detrics/",
    "/metrics%2f",
    "//metrics/",
    "/metrics//",
]
# The same, as LiteLLM does not resolve dot segments and nginx does.
CLIMBING = [
    "/metrics/../key/info",
    "/metrics/..%2fkey/info",
    "/metrics/%2e%2e/key/info",
    "/metrics/%2E./key/info",
    "/%6detrics/../key/info",
]


def raw(edge: Edge, request: str, url: str = "") -> tuple[int, dict[str, str], bytes]:
    """Send the bytes as they are (an HTTP library would tidy the path); status, headers in lower case, body."""
    host, port = (url or edge.url).removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request.encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split()[1]), headers, body


def ask(edge: Edge, method: str, path: str, url: str = "") -> tuple[int, dict[str, str], bytes]:
    lines = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-test-key-0001\r\nContent-Length: 0\r\n"
    return raw(edge, f"{lines}Connection: close\r\n\r\n", url)


def check_closed(edge: Edge, method: str, path: str) -> None:
    status, headers, body = ask(edge, method, path)
    # nginx itself refuses what is no path at all (a NUL byte) as malformed.
    assert status in ((404, 400) if "%00" in path else (404,)), (method, path, status)
    assert headers["content-type"] == "application/json"
    assert "location" not in headers
    error = json.loads(body)["error"]
    assert error["message"]
    assert error["type"] in ("not_found_error", "invalid_request_error")


@pytest.mark.parametrize(("path", "upstream"), POSTS.items())
def test_an_inference_route_reaches_a_replica(client: httpx.Client, path: str, upstream: str) -> None:
    answer = client.post(f"{path}?beta=true", json={"model": "m", "stream": True}).raise_for_status().json()
    assert (answer["method"], answer["path"], answer["query"]) == ("POST", upstream, "beta=true")


@pytest.mark.parametrize(("path", "upstream"), GETS.items())
def test_a_lookup_reaches_a_replica(client: httpx.Client, path: str, upstream: str) -> None:
    answer = client.get(f"{path}?limit=1000").raise_for_status().json()
    assert (answer["method"], answer["path"]) == ("GET", upstream)
    assert answer["query"] == ("" if path == "/health" else "limit=1000")


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", CLOSED)
def test_everything_else_is_a_json_404(edge: Edge, method: str, path: str) -> None:
    check_closed(edge, method, path)


@pytest.mark.parametrize("path", ["/key/generate", "/metrics", "/anthropic/v1/messages", "/ui/"])
def test_twin_without_the_allow_list_those_are_open(careless_edge: Edge, path: str) -> None:
    with pytest.raises(AssertionError):
        check_closed(careless_edge, "POST", path)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/messages", "POST"),
        ("PUT", "/v1/messages", "POST"),
        ("OPTIONS", "/v1/chat/completions", "POST"),
        ("POST", "/v1/models", "GET"),
        ("DELETE", "/v1/models/big", "GET"),
        ("POST", "/health", "GET"),
        ("TRACE", "/v1/messages", "POST"),
        ("POST", "/gateway/health", "GET"),
    ],
)
def test_the_wrong_method_is_a_json_405(edge: Edge, method: str, path: str, allowed: str) -> None:
    status, headers, body = ask(edge, method, path)
    assert status == 405
    assert headers["allow"] == allowed
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"]["message"]


def test_gateway_health_needs_no_key_and_tells_three_things(edge: Edge) -> None:
    answer = plain.get(f"{edge.url}/gateway/health")
    assert answer.status_code == 200
    said = {"status": "ok", "proxy_backend": "LITELLM_MESSAGES", "version": VERSION, "route": "litellm"}
    assert answer.json() == said


def test_gateway_health_hands_no_credential_to_a_replica(edge: Edge) -> None:
    plain.get(f"{edge.url}/gateway/health", headers={"Authorization": "Bearer sk-test-key-0001"}).raise_for_status()
    asked = [request for name in edge.replicas for request in edge.seen(name)["seen"]]
    probes = [dict(request["headers"]) for request in asked if request["path"] == "/health/liveliness"]
    assert probes
    assert not any("authorization" in headers for headers in probes)


@pytest.mark.parametrize("path", ["/", "/api/hello"])
def test_the_warm_up_of_claude_code_is_answered_by_nginx(edge: Edge, path: str) -> None:
    status, headers, body = ask(edge, "HEAD", path)
    assert (status, body) == (200, b"")
    assert "location" not in headers


def test_the_greeting_of_claude_doctor_is_answered(edge: Edge) -> None:
    answer = plain.get(f"{edge.url}/api/hello")
    assert (answer.status_code, answer.json()) == (200, {"message": "hello"})
    assert plain.post(f"{edge.url}/api/hello").status_code == 405
    check_closed(edge, "GET", "/")


@pytest.mark.parametrize("path", ["/usage", "/usage/usage.js", "/usage/page.css", "/gateway/usage"])
def test_without_gateway_processes_their_routes_say_how_to_turn_them_on(edge: Edge, path: str) -> None:
    answer = plain.get(f"{edge.url}{path}", headers={"Authorization": "Bearer sk-test-key-0001"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], "GATEWAYS=" in error["message"]) == (404, "gateways_off", True)


@pytest.mark.parametrize("path", ["/console", "/console/console.js", "/console/state"])
def test_without_gateway_processes_the_admin_listener_says_so_too(edge: Edge, path: str) -> None:
    answer = plain.get(f"{edge.admin_url}{path}", headers={"Authorization": "Bearer sk-master"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "gateways_off")


def test_the_admin_listener_passes_the_management_api(edge: Edge) -> None:
    answer = plain.get(f"{edge.admin_url}/key/info?key=abc", headers={"Authorization": "Bearer sk-master"}).json()
    assert (answer["path"], answer["query"]) == ("/key/info", "key=abc")
    assert dict(answer["headers"])["authorization"] == "Bearer sk-master"


@pytest.mark.parametrize(
    "path",
    ["/ui/", "/ui/login", "/sso/key/generate", "/fallback/login", "/login", "/v3/login", "//ui/"],
)
def test_the_admin_listener_has_no_web_interface(edge: Edge, path: str) -> None:
    assert plain.get(edge.admin_url + path).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/health/history", "/health/latest", "//health/history", "/health%2ftest_connection", "/health/services?a=b"],
)
def test_the_admin_listener_has_of_health_what_says_whether_it_runs(edge: Edge, path: str) -> None:
    """A key that may ask for /health may ask LiteLLM for everything below it, and tenants' keys may."""
    assert plain.post(edge.admin_url + path).status_code == 404
    assert plain.get(edge.admin_url + path).status_code == 404


@pytest.mark.parametrize("path", ["/health", "/health/liveliness", "/health/readiness"])
def test_twin_that_it_passes(edge: Edge, path: str) -> None:
    assert plain.get(edge.admin_url + path).status_code == 200


def check_no_metrics_for_the_admin(edge: Edge, path: str) -> None:
    status, headers, body = ask(edge, "GET", path, edge.admin_url)
    assert (status, headers["content-type"]) == (404, "application/json"), (path, body)
    assert json.loads(body)["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", [*METRICS, *CLIMBING])
def test_the_admin_listener_has_no_metrics(edge: Edge, path: str) -> None:
    check_no_metrics_for_the_admin(edge, path)


@pytest.mark.parametrize(
    ("file", "edit", "open_then"),
    [
        ("nginx.conf", ("metrics|ui", "ui"), METRICS),
        ("snippets/maps.conf", (r"(?:(?:/|%2f)\.|%2e)", "never"), CLIMBING),
    ],
)
def test_twin_without_either_rule_the_admin_listener_shows_them(
    start_edge: StartEdge, file: str, edit: tuple[str, str], open_then: list[str]
) -> None:
    with start_edge(replicas=1, edits={file: edit}) as edge:
        for path in open_then:
            with pytest.raises(AssertionError):
                check_no_metrics_for_the_admin(edge, path)


def test_counters_are_on_the_internal_listener_only(edge: Edge) -> None:
    # Docker 20.10 loses the output of an exec now and then, on a machine that is busy.
    eventually(lambda: "Active connections" in edge.run("curl", "-fsS", "http://127.0.0.1:8081/stub_status"), within=30)
    with pytest.raises(AssertionError):
        edge.run("curl", "-fsS", "http://127.0.0.1:8081/v1/models")
    with pytest.raises(ConnectionError, match="8081"):
        address(edge.nginx, 8081)
