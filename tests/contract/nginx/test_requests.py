"""What nginx does to a request on its way in: credentials, ids, orders to LiteLLM, sizes, and how many a second."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge, Limits
from tests.contract.nginx.test_routes import raw
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

MESSAGES, CHAT = "/v1/messages", "/v1/chat/completions"


def reached(edge: Edge, path: str = MESSAGES, **headers: str) -> dict[str, str]:
    """The headers a replica got for a POST with exactly these headers."""
    with edge.client() as client:
        answer = client.post(path, json={}, headers={name.replace("_", "-"): value for name, value in headers.items()})
    return dict(answer.raise_for_status().json()["headers"])


def check_authorization_wins(edge: Edge) -> None:
    got = reached(edge, authorization="Bearer sk-of-authorization", x_api_key="sk-of-x-api-key")
    assert got["authorization"] == "Bearer sk-of-authorization"
    assert "x-api-key" not in got


def check_x_api_key_alone(edge: Edge) -> None:
    got = reached(edge, x_api_key="sk-of-x-api-key")
    assert got["x-api-key"] == "sk-of-x-api-key"
    assert "authorization" not in got


def check_no_other_credential(edge: Edge) -> None:
    got = reached(edge, x_litellm_api_key="sk-other", api_key="sk-other", x_goog_api_key="sk-other")
    assert not [name for name, value in got.items() if "sk-other" in value]


def test_of_two_credentials_authorization_wins(edge: Edge) -> None:
    check_authorization_wins(edge)


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


def test_a_body_that_finds_tmp_full_is_refused_in_the_route_s_shape(start_edge: StartEdge) -> None:
    with (
        start_edge(replicas=1, limits=Limits(max_body_mb=100), tmp_size="4m") as edge,
        edge.client(headers={"Authorization": "Bearer sk-test-key-0001"}) as client,
    ):
        anthropic, openai = (client.post(path, content=b"x" * (20 << 20)) for path in (MESSAGES, CHAT))
        assert (anthropic.status_code, openai.status_code) == (529, 503)
        assert anthropic.json()["error"]["type"] == "overloaded_error"
        assert openai.json()["error"]["code"] == "edge_failed"
        assert {answer.headers["x-should-retry"] for answer in (anthropic, openai)} == {"true"}
        assert edge.posts("litellm-1") == []
        # What was refused is gone from /tmp once nginx is done with its connection, and what fits in memory never
        # needed it.
        eventually(lambda: nothing_in_tmp(edge), within=30)
        assert client.post(MESSAGES, content=b"x" * (3 << 20)).json()["body_bytes"] == 3 << 20
        eventually(lambda: nothing_in_tmp(edge), within=30)
        edge.run("sh", "-c", "head -c 4194304 /dev/zero >/tmp/full")
        assert client.post(MESSAGES, content=b"x" * (200 << 10)).json()["body_bytes"] == 200 << 10
        assert client.post(MESSAGES, content=b"x" * (1 << 20)).status_code == 529
        assert client.get("/gateway/health").status_code == 200


def nothing_in_tmp(edge: Edge) -> bool:
    """Asked of the file system, for nginx deletes its files there while they are open."""
    return edge.run("df", "--output=used", "/tmp").split()[-1] == "0"  # noqa: S108  the container's


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


# At one a second a request that is to be refused passes where a second has gone by since the last one that did.
SELDOM = {"nginx.conf": ("rate=1r/s;", "rate=1r/m;")}


def test_the_rate_limit_counts_keys_and_not_addresses(start_edge: StartEdge) -> None:
    with (
        start_edge(replicas=1, limits=Limits(requests_per_second=1, burst=3), edits=SELDOM) as edge,
        edge.client() as client,
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
        # Another key from the same address has its own bucket, and so has nobody at all.
        assert post(authorization="Bearer sk-second-key").status_code == 200
        assert post().status_code == 200
        # The same key is the same bucket however it is sent.
        assert exhausted(x_api_key="sk-third-key").status_code == 429
        assert post(authorization="bearer   sk-third-key").status_code == 429
        # What is no plain token counts for the address: decorating a key opens no new bucket.
        exhausted(authorization="Bearer Bearer sk-fourth-key")
        assert post(authorization="Bearer Bearer Bearer sk-fourth-key").status_code == 429
        # Health and the warm-up are not rationed.
        assert {client.get("/gateway/health").status_code for _ in range(10)} == {200}
