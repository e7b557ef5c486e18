"""TLS at the edge: which protocols, that streams pass at once, and a certificate swapped under a running stream."""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.contract.nginx.conftest import StartEdge
from tests.contract.nginx.edge import Edge
from tests.contract.nginx.test_routes import CLOSED
from tests.support.eventually import eventually
from tollgate.stack.certificates.self_signed import make

pytestmark = pytest.mark.docker

NAMES = ("gateway.example", "localhost", "127.0.0.1")
KEY = {"Authorization": "Bearer sk-test-key-0001"}
# Where Docker publishes the port depends on where the tests run; the certificate names none of these addresses.
NAMED = {"sni_hostname": "localhost"}
RELOADED = "entrypoint: reloaded;"


def bundle(days: int = 0) -> str:
    return make(NAMES, datetime.now(UTC) + timedelta(days=days)).reveal()


@pytest.fixture(scope="module")
def tls_edge(start_edge: StartEdge) -> Iterator[Edge]:
    with start_edge(replicas=1, tls=bundle()) as edge:
        yield edge


def trusting(edge: Edge) -> ssl.SSLContext:
    """As a client that was told to trust the certificate: names and dates are checked."""
    return ssl.create_default_context(cafile=str(edge.bundle))


def place(edge: Edge) -> tuple[str, int]:
    host, _, port = edge.tls_url.removeprefix("https://").partition(":")
    return host, int(port)


def connect(edge: Edge, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(place(edge), timeout=20), server_hostname="localhost")


def shown(edge: Edge) -> str:
    pem = ssl.get_server_certificate(place(edge), timeout=10)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def fingerprint(file: Path) -> str:
    text = file.read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERTIFICATE") :])).hexdigest()


def test_a_request_passes_encrypted_and_hsts_is_said_there_alone(tls_edge: Edge) -> None:
    with httpx.Client(verify=trusting(tls_edge), timeout=20) as client:
        answer = client.post(f"{tls_edge.tls_url}/v1/messages", json={}, headers=KEY, extensions=NAMED)
        assert dict(answer.raise_for_status().json()["headers"])["x-forwarded-proto"] == "https"
        refused = client.get(f"{tls_edge.tls_url}/key/generate", extensions=NAMED)
        assert [said.headers["strict-transport-security"] for said in (answer, refused)] == ["max-age=31536000"] * 2
    for path in ("/v1/models", "/key/generate"):
        assert "strict-transport-security" not in httpx.get(tls_edge.url + path).headers
    # The plain port goes on without sending anybody away.
    assert httpx.post(f"{tls_edge.url}/v1/messages", json={}, headers=KEY).status_code == 200


@pytest.mark.parametrize("path", CLOSED)
def test_what_is_closed_is_closed_encrypted_too(tls_edge: Edge, path: str) -> None:
    with connect(tls_edge, trusting(tls_edge)) as connection:
        connection.sendall(
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        status = connection.recv(64).split()[1]
    assert status in ((b"404", b"400") if "%00" in path else (b"404",))


@pytest.mark.parametrize(("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1")])
def test_http_2_is_spoken_with_who_offers_it(tls_edge: Edge, offered: list[str], chosen: str) -> None:
    context = trusting(tls_edge)
    context.set_alpn_protocols(offered)
    with connect(tls_edge, context) as connection:
        assert connection.selected_alpn_protocol() == chosen
        assert connection.version() == "TLSv1.3"
        if chosen == "h2":
            # The connection preface and an empty SETTINGS frame: the server's own SETTINGS come back.
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            assert connection.recv(9)[3] == 4


OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)


def of_version(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # or this side would refuse first
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", OLD, ids=lambda version: version.name)
def test_old_protocols_are_refused(tls_edge: Edge, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol version|unsupported protocol"):
        connect(tls_edge, of_version(version)).close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_twin_1_2_is_taken_by_the_same_client_with_forward_secrecy_only(tls_edge: Edge) -> None:
    with connect(tls_edge, of_version(ssl.TLSVersion.TLSv1_2)) as connection:
        cipher = connection.cipher()
        assert cipher is not None
        assert cipher[0].startswith("ECDHE-")
    weak = of_version(ssl.TLSVersion.TLSv1_2)
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake failure"):
        connect(tls_edge, weak).close()


def test_twin_a_client_that_was_not_told_to_trust_it_refuses(tls_edge: Edge) -> None:
    with httpx.Client(timeout=20) as client, pytest.raises(httpx.ConnectError, match="self-signed certificate"):
        client.get(f"{tls_edge.tls_url}/gateway/health", extensions=NAMED)


def swap_under_a_stream(edge: Edge, edit: str) -> list[str]:
    """Begin a stream, give nginx another certificate, wait until new connections see it, end the stream: its lines."""
    edge.tell("litellm-1", "rearm")
    before, reloads = fingerprint(edge.bundle), edge.log().count(RELOADED)
    with (
        httpx.Client(verify=trusting(edge), timeout=httpx.Timeout(30, read=15), headers=KEY) as client,
        client.stream(
            "POST", f"{edge.tls_url}/v1/messages", json={}, headers={"X-Test": "stream"}, extensions=NAMED
        ) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "event: message_start"  # while the replica still waits: nothing is held back
        assert shown(edge) == before
        edge.bundle.write_text(edit)
        edge.nginx.get_wrapped_container().kill("SIGHUP")
        # Until the last worker with the certificate before has stopped listening.
        eventually(lambda: edge.log().count(RELOADED) > reloads, within=30)
        assert shown(edge) == fingerprint(edge.bundle) != before
        edge.tell("litellm-1", "release")
        return list(lines)


def test_a_certificate_is_swapped_under_a_running_stream(tls_edge: Edge) -> None:
    assert "event: message_stop" in swap_under_a_stream(tls_edge, bundle(days=-1))
    with httpx.Client(verify=trusting(tls_edge), timeout=20) as client:
        assert client.get(f"{tls_edge.tls_url}/gateway/health", extensions=NAMED).status_code == 200


def test_twin_a_broken_one_is_not_taken_and_the_one_before_stays(tls_edge: Edge) -> None:
    good = tls_edge.bundle.read_text()
    other_key = bundle()
    try:
        tls_edge.bundle.write_text(
            other_key[: other_key.index("-----BEGIN CERT")] + good[good.index("-----BEGIN CERT") :]
        )
        tls_edge.nginx.get_wrapped_container().kill("SIGHUP")
        eventually(lambda: "kept the old configuration" in tls_edge.log(), within=30)
        assert "PRIVATE KEY" not in tls_edge.log()
    finally:
        tls_edge.bundle.write_text(good)
    assert shown(tls_edge) == fingerprint(tls_edge.bundle)
