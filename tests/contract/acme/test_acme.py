"""TLS=acme against a real ACME server: first certificate, renewal under a stream, and what a closed port does.

In the order of a gateway's life; each test begins with what it needs.
"""

from __future__ import annotations

import hashlib
import json
import socket
import ssl
import subprocess

import httpx
import pytest

from tests.contract.acme.conftest import NAME, Gateway
from tests.support import plain
from tests.support.eventually import eventually

pytestmark = pytest.mark.docker

# How long it may rest after tries that failed, longer each time, and then fail once more at an address remembered.
ITS_TURN = 240
KEY = {"Authorization": "Bearer sk-test-key-0001"}


def served(gateway: Gateway) -> str:
    pem = ssl.get_server_certificate(gateway.place(4443), timeout=10)
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def fetched(gateway: Gateway) -> str:
    """The fingerprint of what the service has fetched; empty before the first one."""
    chain = gateway.inside("acme", "acme", "chain")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(chain[: chain.index("-----END") + 26])).hexdigest() if chain else ""


def stand_in(gateway: Gateway) -> str:
    text = (gateway.site.secrets_dir / "tls_self_signed.pem").read_text()
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(text[text.index("-----BEGIN CERT") :])).hexdigest()


def trusting(gateway: Gateway) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=gateway.root())


def certificate_line(gateway: Gateway) -> dict[str, str]:
    found = json.loads(gateway.cli("doctor", "--json").stdout)
    return next(dict(line) for line in found if line["check"] == "certificate")


def test_twin_a_closed_port_leaves_the_self_signed_one_and_says_why(gateway: Gateway) -> None:
    gateway.road("stand-in")  # which listens on another port
    eventually(lambda: "acme:error:connection" in gateway.inside("acme", "acme", "why"), within=ITS_TURN)
    eventually(lambda: gateway.metrics().get("tollgate_acme_failures", 0) >= 1, within=20)
    assert fetched(gateway) == ""
    assert served(gateway) == stand_in(gateway)
    assert "tollgate_certificate_expiry_timestamp_seconds" not in gateway.metrics()
    line = certificate_line(gateway)
    assert line["level"] == "FAIL"
    for said in (gateway.log("acme"), line["message"], gateway.cli("certificate", "show").stderr):
        assert "acme:error:connection" in said
        assert f"http://{NAME}/ on port 80 must reach TLS_HTTP_PORT of this host" in said


def test_once_it_is_open_the_certificate_comes_by_itself(gateway: Gateway) -> None:
    gateway.road("nginx")
    eventually(lambda: fetched(gateway) != "", within=ITS_TURN)
    eventually(lambda: served(gateway) == fetched(gateway), within=20)
    context = trusting(gateway)
    with context.wrap_socket(socket.create_connection(gateway.place(4443), timeout=20), server_hostname=NAME) as one:
        assert ("DNS", NAME) in one.getpeercert()["subjectAltName"]  # type: ignore[index]
    told = gateway.metrics()
    assert told["tollgate_acme_failures"] == 0
    assert told["tollgate_certificate_life_seconds"] < 60
    assert "no certificate was fetched" not in gateway.cli("certificate", "show").stderr


def test_it_is_renewed_by_itself_under_a_running_stream(gateway: Gateway) -> None:
    gateway.road("nginx")
    eventually(lambda: fetched(gateway) == served(gateway) != stand_in(gateway), within=ITS_TURN)
    gateway.tell("rearm")
    host, port = gateway.place(4443)
    with (
        plain.Client(verify=trusting(gateway), timeout=httpx.Timeout(60, read=120), headers=KEY) as client,
        client.stream(
            "POST",
            f"https://{host}:{port}/v1/messages",
            json={},
            headers={"X-Test": "stream"},
            extensions={"sni_hostname": NAME},
        ) as answer,
    ):
        lines = answer.iter_lines()
        assert next(lines) == "event: message_start"
        before = served(gateway)
        eventually(lambda: served(gateway) not in (before, stand_in(gateway)), within=90)
        gateway.tell("release")
        assert "event: message_stop" in list(lines)


def test_twin_a_renewal_that_fails_leaves_the_one_before(gateway: Gateway) -> None:
    """The ACME server remembers where a name leads for a few seconds, so each road is tried until it has been taken."""
    gateway.road("stand-in")
    refused = eventually(lambda: renewed(gateway, 1), within=60, every=1)
    assert "must reach TLS_HTTP_PORT of this host" in refused
    assert "nginx keeps the certificate that it has" in refused
    before = fetched(gateway)
    eventually(lambda: served(gateway) == before, within=20)
    assert before == fetched(gateway) != stand_in(gateway)
    gateway.road("nginx")
    eventually(lambda: renewed(gateway, 0), within=60, every=1)
    eventually(lambda: served(gateway) == fetched(gateway) != before, within=20)


def renewed(gateway: Gateway, wanted: int) -> str:
    """The output of `certificate renew` if its exit code is `wanted`, otherwise empty."""
    done = gateway.cli("certificate", "renew", "--force")
    return done.stdout + done.stderr if done.returncode == wanted else ""


def test_port_80_has_the_challenges_and_nothing_else(gateway: Gateway) -> None:
    base = "http://{}:{}".format(*gateway.place(4080))
    # It is written again before each renewal.
    eventually(lambda: plain.get(f"{base}/.well-known/acme-challenge/self-check").text == "open\n", within=20)
    below = ("", "no", "../../v1/models", "%2e%2e%2fself-check", ".", "a/b")
    others = ("/", "/v1/models", "/gateway/health", "/.well-known", "/key/generate")
    for path in (*others, *(f"/.well-known/acme-challenge/{name}" for name in below)):
        assert plain.get(base + path).status_code in (400, 404), path
    assert plain.post(f"{base}/.well-known/acme-challenge/self-check").status_code == 405


def test_keys_are_nginx_s_alone_and_nowhere_to_be_read(gateway: Gateway) -> None:
    gateway.road("nginx")
    eventually(lambda: fetched(gateway) != "", within=ITS_TURN)
    # Not while one is fetched: files come and go then.
    files = gateway.inside(
        "acme", "flock", "/data/lock", "find", "/data", "/served", "-type", "f", "-printf", "%m %U %p\n"
    ).splitlines()
    assert {line.rsplit(" ", 1)[0] for line in files if "lego.log" not in line} == {"600 65520"}
    assert any(line.endswith(f"{NAME}.key") for line in files)
    assert gateway.inside("nginx", "stat", "-c", "%a %u", "/run/nginx/tls.pem").split() == ["600", "65520"]
    containers = gateway.ask("ps", "--quiet").split()
    seen = subprocess.check_output(["docker", "inspect", *containers], text=True)
    assert "PRIVATE KEY" not in seen + gateway.log("acme") + gateway.log("nginx")
    assert "PRIVATE KEY" not in gateway.inside("acme", "acme", "chain")
