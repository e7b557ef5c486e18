"""nginx logs one JSON object for each request, and never a credential or a query string."""

from __future__ import annotations

import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tests.support import plain
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

KEY = "sk-test-secret-key-0123456789"
SESSION = "8c5b0f5e-2a0e-4f0a-9a58-8f52f1ad4b0c"


def send_secrets(edge: Edge, request_id: str) -> None:
    """A key in each place a client may put one."""
    headers = {
        "Authorization": f"Bearer {KEY}",
        "x-api-key": KEY,
        "X-Request-Id": request_id,
        "X-Claude-Code-Session-Id": SESSION,
        "User-Agent": "claude-cli/2.1.329 (external, cli)",
    }
    with edge.client(headers=headers) as client:
        client.post(f"/v1/messages?beta=true&key={KEY}", json={"model": "m"})
        client.post(f"/v1/messages/{KEY}?token={KEY}", json={})
        client.get(f"/key/{KEY}")


def check_no_secret(edge: Edge, request_id: str) -> None:
    send_secrets(edge, request_id)
    eventually(lambda: edge.log().count(request_id) >= 3, within=30)
    assert KEY not in edge.log()
    assert "beta=true" not in edge.log()


def test_a_request_is_one_json_object_with_what_an_operator_asks_for(edge: Edge) -> None:
    send_secrets(edge, "log-fields")
    eventually(lambda: edge.log().count("log-fields") >= 3, within=30)
    # The other two nginx answered itself.
    [line] = [line for line in edge.access_log() if line["request_id"] == "log-fields" and line["upstream_addr"]]
    assert (line["method"], line["uri"], line["route"], line["status"]) == ("POST", "/v1/messages", "messages", "200")
    assert line["session"] == SESSION
    assert line["user_agent"].startswith("claude-cli/2.1.329")
    assert line["litellm_call_id"] == "call-1"
    assert line["upstream_addr"].endswith(":4000")
    assert line["bytes_sent"] > 0
    assert isinstance(line["request_time"], float)


def test_no_credential_and_no_query_string_is_logged(edge: Edge) -> None:
    check_no_secret(edge, "log-secrets")


def test_twin_with_the_request_line_in_the_log_the_key_is_there(careless_edge: Edge) -> None:
    with pytest.raises(AssertionError):
        check_no_secret(careless_edge, "log-secrets-twin")


def fail_upstream(edge: Edge) -> str:
    """Provoke an error line of nginx's, which quotes the request line; everything logged so far."""
    edge.kill_replica("litellm-1")
    send_secrets(edge, "error-line")
    eventually(lambda: "while connecting to upstream" in edge.log(), within=30)
    return edge.log()


def test_error_lines_hold_no_key_either(start_edge: StartEdge) -> None:
    with start_edge(replicas=1) as edge:
        log = fail_upstream(edge)
        assert "POST /v1/messages?[removed]" in log
        assert KEY not in log


def test_twin_without_the_filter_an_error_line_holds_the_key(start_edge: StartEdge) -> None:
    with start_edge(replicas=1, edits={"entrypoint.sh": ("sed -u -e", "sed -u -n -e p -e")}) as edge:
        assert KEY in fail_upstream(edge)


def test_health_and_warm_up_are_not_logged(edge: Edge) -> None:
    plain.get(f"{edge.url}/gateway/health", headers={"X-Request-Id": "quiet"}).raise_for_status()
    plain.head(edge.url, headers={"X-Request-Id": "quiet"}).raise_for_status()
    edge.run("curl", "-fsS", "http://127.0.0.1:8081/stub_status")
    plain.get(f"{edge.url}/v1/models", headers={"X-Request-Id": "after-quiet"}).raise_for_status()
    eventually(lambda: "after-quiet" in edge.log(), within=30)
    assert '"quiet"' not in edge.log()
    assert not [line for line in edge.access_log() if line["port"] == "8081"]
