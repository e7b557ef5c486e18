"""nginx checks requests: credentials, ids, headers that control LiteLLM, sizes, and the rate."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge, Limits
from tests.contract.nginx.test_routes import raw

pytestmark = pytest.mark.docker

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"


def reached(edge: Edge, path: str = MESSAGES, **headers: str) -> dict[str, str]:
    """The headers a replica got for a POST with exactly these headers."""
    with edge.stranger() as client:
        answer = client.post(path, json={}, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return dict(answer.raise_for_status().json()["headers"])


def check_both_pass(edge: Edge) -> None:
    """Either may hold the tenant's key; the replica takes the one it knows."""
    got = reached(edge, authorization="Bearer sk-of-authorization", x_api_key="sk-of-x-api-key")
    assert (got["authorization"], got["x-api-key"]) == ("Bearer sk-of-authorization", "sk-of-x-api-key")


def check_x_api_key_alone(edge: Edge) -> None:
    got = reached(edge, x_api_key="sk-of-x-api-key")
    assert got["x-api-key"] == "sk-of-x-api-key"
    assert "authorization" not in got


def check_no_other_credential(edge: Edge) -> None:
    got = reached(edge, x_litellm_api_key="sk-other", api_key="sk-other", x_goog_api_key="sk-other")
    assert not [name for name, value in got.items() if "sk-other" in value]


def test_both_credentials_reach_the_replica(edge: Edge) -> None:
    check_both_pass(edge)


def test_x_api_key_alone_is_passed_on(edge: Edge) -> None:
    check_x_api_key_alone(edge)


def test_litellm_s_other_credential_headers_do_not_pass(edge: Edge) -> None:
    check_no_other_credential(edge)


@pytest.mark.parametrize("check", [check_x_api_key_alone, check_no_other_credential])
def test_twin_without_the_rules_credentials_go_wrong(careless_edge: Edge, check: object) -> None:
    assert callable(check)
    with pytest.raises((AssertionError, KeyError)):
        check(careless_edge)


def test_a_client_cannot_steer_litellm_by_header(edge: Edge) -> None:
    orders = {"call-id", "tags", "timeout", "num-retries", "disable-callbacks", "spend-logs-metadata", "customer-id"}
    with edge.client() as client:
        got = client.post(MESSAGES, json={}, headers={f"x-litellm-{name}": "1" for name in orders}).json()["headers"]
    assert not [name for name, _ in got if name.startswith("x-litellm")]


def test_a_client_cannot_say_that_it_is_counted(edge: Edge) -> None:
    """Only a gateway process may send this header to a replica, and it signs it."""
    with edge.client() as client:
        got = client.post(MESSAGES, json={}, headers={"x-tollgate-admitted": "forged"}).json()["headers"]
    assert "x-tollgate-admitted" not in dict(got)


def test_what_claude_code_sends_arrives_as_sent(edge: Edge) -> None:
    sent = {
        "anthropic-beta": ",".join(f"some-capability-{number}-2026-11-21" for number in range(300)),
        "anthropic-version": "2026-10-21",
        "user-agent": "claude-cli/2.1.329 (external, cli)",
        "x-claude-code-session-id": "8c5b0f5e-2a0e-4f0a-9a58-8f52f1ad4b0c",
        "x-stainless-retry-count": "0",
        "x-app": "cli",
    }
    assert len(sent["anthropic-beta"]) > 8192
    with edge.client() as client:
        got = dict(client.post(MESSAGES, json={}, headers=sent).raise_for_status().json()["headers"])
    assert {name: got[name] for name in sent} == sent


def test_the_host_and_the_address_are_ours(edge: Edge) -> None:
    got = reached(
        edge, host="evil.example", x_forwarded_for="1.2.3.4", x_forwarded_host="evil.example", forwarded="for=1.2.3.4"
    )
    assert got["host"] == "litellm"
    assert "evil.example" not in " ".join(got.values())
    assert "1.2.3.4" not in " ".join(got.values())
    assert "connection" not in got


@pytest.mark.parametrize("given", ["8c5b0f5e-2a0e", "req_01.A", "a" * 128])
def test_a_sane_request_id_is_kept(edge: Edge, given: str) -> None:
    with edge.client() as client:
        answer = client.post(MESSAGES, json={}, headers={"X-Request-Id": given})
    assert dict(answer.json()["headers"])["x-request-id"] == given
    assert (answer.headers["request-id"], answer.headers["x-request-id"]) == (given, given)


@pytest.mark.parametrize("given", [None, "", "a" * 129, 'x"y', "x y", "-x", "x\\y"])
def test_any_other_request_id_is_replaced(edge: Edge, given: str | None) -> None:
    with edge.client() as client:
        answer = client.post(MESSAGES, json={}, headers={} if given is None else {"X-Request-Id": given})
    own = answer.headers["request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", own)
    assert dict(answer.json()["headers"])["x-request-id"] == own


def test_a_body_up_to_the_limit_passes_and_one_above_it_is_a_json_413(edge: Edge) -> None:
    with edge.client() as client:
        assert client.post(MESSAGES, content=b"x" * (1 << 20)).json()["body_bytes"] == 1 << 20
        for path in (MESSAGES, CHAT):
            answer = client.post(path, content=b"x" * ((1 << 20) + 1))
            assert answer.status_code == 413
            assert answer.headers["x-should-retry"] == "false"
            assert "1 MB" in answer.json()["error"]["message"]
        assert client.post(MESSAGES, content=b"x" * (2 << 20)).json()["type"] == "error"


def test_a_body_without_a_length_is_held_to_the_limit_too(edge: Edge) -> None:
    def chunks() -> Iterator[bytes]:
        yield from [b"x" * 65536] * 17

    with edge.client() as client:
        assert client.post(MESSAGES, content=iter([b"x" * 1000])).json()["body_bytes"] == 1000
        assert client.post(MESSAGES, content=chunks()).status_code == 413


def test_a_hundred_megabytes_pass_where_they_may(start_edge: StartEdge) -> None:
    with start_edge(replicas=1, limits=Limits(max_body_mb=100)) as edge, edge.client() as client:
        assert client.post(MESSAGES, content=b"x" * (100 << 20)).json()["body_bytes"] == 100 << 20
        assert client.post(MESSAGES, content=b"x" * ((100 << 20) + 1)).status_code == 413


def test_no_body_is_stored_at_the_edge(start_edge: StartEdge) -> None:
    """Neither a large one nor one that a full /tmp would have no room for."""
    with start_edge(replicas=1, limits=Limits(max_body_mb=100), tmp_size="4m") as edge, edge.client() as client:
        edge.run("sh", "-c", "head -c 4194304 /dev/zero >/tmp/full")
        for path in (MESSAGES, CHAT):
            assert client.post(path, content=b"x" * (20 << 20)).json()["body_bytes"] == 20 << 20
        assert client.get("/gateway/health").status_code == 200


def connect(edge: Edge) -> socket.socket:
    host, port = edge.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def slowly(pieces: list[int]) -> Iterator[bytes]:
    """20 MB; `pieces` says how much of it was taken."""
    for _ in range(320):
        pieces.append(65536)
        yield b"x" * 65536


def test_a_client_refused_early_reads_why_and_its_body_is_dropped(start_edge: StartEdge) -> None:
    with start_edge(replicas=1, limits=Limits(max_body_mb=100), tmp_size="64k") as edge:
        for number in range(30):
            with edge.client(headers={"X-Test": "early", "Authorization": f"Bearer sk-invented-{number}"}) as client:
                sent = b"x" * (2 << 20) if number % 2 else slowly([])
                answer = client.post(MESSAGES, content=sent)
                assert (answer.status_code, answer.json()) == (401, {"refused": True})
        assert edge.seen("litellm-1")["thrown_away"] < 30 * (2 << 20), "nginx stops passing the body on"
        assert not [line for line in edge.access_log() if line["status"] == "502"]


def test_six_that_send_half_and_wait_hold_nobody_up(start_edge: StartEdge) -> None:
    """Each has no key and promises 100 MB. With stored bodies they filled the spool, and others got a 503."""
    with start_edge(replicas=1, limits=Limits(max_body_mb=100), tmp_size="8m") as edge, ExitStack() as waiting:
        head = f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nX-Test: early\r\nContent-Length: 100000000\r\n\r\n"
        for _ in range(6):
            connection = waiting.enter_context(connect(edge))
            connection.sendall(head.encode())
            with contextlib.suppress(OSError):  # refused already, and so it may be closed
                connection.sendall(b"x" * (4 << 20))
        with edge.client() as client:
            assert client.post(MESSAGES, content=b"x" * (20 << 20)).json()["body_bytes"] == 20 << 20
        assert edge.run("df", "--output=used", "/tmp").split()[-1] == "0"  # noqa: S108  the container's


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nX-Long: {'x' * 20000}\r\nConnection: close\r\n\r\n", 431),
        (f"POST /{'x' * 20000} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 414),
        (f"POST {MESSAGES} HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        ("this is no request\r\n\r\n", 400),
        (
            f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        (f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        (f"POST {MESSAGES} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: odd\r\nConnection: close\r\n\r\n", 400),
    ],
    ids=["long header", "long path", "no host", "nonsense", "two framings", "two lengths", "odd framing"],
)
def test_a_malformed_request_is_refused_in_json(edge: Edge, request_text: str, status: int) -> None:
    got, headers, body = raw(edge, request_text)
    assert got == status
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["error"]["message"]


# With one request a second, nginx would pass a request that the test expects to fail, if a second has gone by.
SELDOM = {"nginx.conf": ("rate=1r/s;", "rate=1r/m;")}


def test_the_rate_limit_counts_keys_and_not_addresses(start_edge: StartEdge) -> None:
    with (
        start_edge(replicas=1, limits=Limits(requests_per_second=1, burst=3), edits=SELDOM) as edge,
        edge.stranger() as client,
    ):

        def post(path: str = MESSAGES, **headers: str) -> httpx.Response:
            return client.post(
                path, json={}, headers={name.replace("_", "-"): value for name, value in headers.items()}
            )

        def exhausted(**headers: str) -> httpx.Response:
            refused = [answer for answer in (post(**headers) for _ in range(30)) if answer.status_code == 429]
            assert refused, "thirty requests in a row passed a limit of one a minute and three more"
            return refused[0]

        answer = exhausted(authorization="Bearer sk-first-key")
        assert answer.json()["error"]["type"] == "rate_limit_error"
        assert answer.json()["type"] == "error"
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.headers["x-should-retry"] == "true"
        assert "param" in post(CHAT, authorization="Bearer sk-first-key").json()["error"]
        # Another key from the same address has its own bucket.
        assert post(authorization="Bearer sk-second-key").status_code == 200
        # The same key is the same bucket however it is sent.
        assert exhausted(x_api_key="sk-third-key").status_code == 429
        assert post(authorization="bearer   sk-third-key").status_code == 429
        assert post(authorization="Bearer sk-third-key", x_api_key="sk-third-key").status_code == 429
        # A credential that is not a plain token counts for the address: a decorated key gets no new bucket.
        exhausted(authorization="Bearer Bearer sk-fourth-key")
        assert post(authorization="Bearer Bearer Bearer sk-fourth-key").status_code == 429
        assert post(authorization="Bearer sk-third-key", x_api_key="sk-another").status_code == 429
        # Health and the warm-up are not rationed.
        assert {client.get("/gateway/health").status_code for _ in range(10)} == {200}


def test_requests_without_a_key_are_few_for_each_address(start_edge: StartEdge) -> None:
    with (
        start_edge(replicas=1, edits={"nginx.conf": ("rate=5r/s;", "rate=1r/m;")}) as edge,
        edge.stranger() as stranger,
        edge.client() as client,
    ):
        statuses = [stranger.post(path, json={}).status_code for path in (MESSAGES, CHAT) * 15]
        assert statuses[:21] == [200] * 21
        assert set(statuses[21:]) == {429}
        assert {client.post(MESSAGES, json={}).status_code for _ in range(40)} == {200}, "who has a key goes on"


def test_one_address_cannot_take_every_connection(start_edge: StartEdge) -> None:
    with start_edge(replicas=1, limits=Limits(connections_per_address=3)) as edge, ExitStack() as open_streams:
        edge.tell("litellm-1", "rearm")
        with edge.client(headers={"X-Test": "stream"}) as client:
            for _ in range(3):
                open_streams.enter_context(client.stream("POST", MESSAGES, json={}))
            assert client.post(MESSAGES, json={}).status_code == 429
            edge.tell("litellm-1", "release")
