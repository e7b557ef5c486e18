"""EGRESS_PROXY and CA_BUNDLE for real: a replica that reaches its upstream by a forward proxy's leave alone.

The upstream speaks HTTPS under an authority of its own and sits on a network that the replica is not on. The proxy is
tinyproxy with an allow-list of hosts.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network

from tests.support import plain
from tests.support.engine import on_loopback
from tests.support.eventually import eventually
from tests.support.images import image, own_image
from tollgate.config.env.settings import parse as parse_env
from tollgate.config.gateway.load import load as load_gateway
from tollgate.render.litellm import render_basic
from tollgate.render.output import write
from tollgate.render.stack import render_authorities, render_code, render_replicas
from tollgate.site import Site

LONG = os.environ.get("TOLLGATE_LONG_TESTS") == "1"
pytestmark = [pytest.mark.docker, pytest.mark.skipif(not LONG, reason="make test-tls")]
# Its reaper is an image of its own, which a machine without a registry cannot have; the stack of contexts cleans up.
testcontainers_config.ryuk_disabled = True

ROOT = Site.here().root
ALLOWED, DENIED, PORT = "api.allowed.test", "api.denied.test", 8443
KEY = "sk-master-key-of-a-test"
PROXY = f"""Port 3128
Listen 0.0.0.0
Timeout 60
LogLevel Connect
ConnectPort {PORT}
Filter "/proxy/allowed"
FilterType ere
FilterDefaultDeny Yes
"""
UPSTREAM = f"""
from tollgate.services.provider.app import create_app
from tollgate.services.provider.server import server
upstream = server(create_app())
upstream.config.host, upstream.config.port, upstream.config.ssl_certfile = "0.0.0.0", {PORT}, "/tls/upstream.pem"
upstream.run()
"""


def gateway_yaml() -> str:
    """One model behind each host, for each of the two transports LiteLLM has."""

    def model(kind: str, host: str) -> dict[str, object]:
        base = f"https://{host}:{PORT}" + ("/v1" if kind == "openai" else "")
        return {
            "targets": [{"model": f"{kind}/test-model", "api_base": base, "api_key": "env:UP_API_KEY"}],
            "price": "free",
        }

    hosts = {"allowed": ALLOWED, "denied": DENIED}
    models = {f"{name}-{kind}": model(kind, host) for name, host in hosts.items() for kind in ("openai", "anthropic")}
    return yaml.safe_dump({"models": models, "routing": {"retries": 0, "allowed_fails": 1000}})


def authority(directory: Path) -> str:
    """Write the upstream's key and certificate; return the authority that signed it, as PEM."""
    now = datetime.now(UTC)

    def certificate(
        name: str, key: ec.EllipticCurvePublicKey, names: list[str], by: str, sign: ec.EllipticCurvePrivateKey
    ) -> x509.Certificate:
        builder = x509.CertificateBuilder().serial_number(x509.random_serial_number()).public_key(key)
        builder = builder.subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        builder = builder.issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, by)]))
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=2))
        builder = builder.add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(sign.public_key()), critical=False
        )
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False
            )
        else:
            usage = dict.fromkeys(("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                                   "key_agreement", "encipher_only", "decipher_only"), False)  # fmt: skip
            builder = builder.add_extension(x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True), critical=True)
        return builder.sign(sign, hashes.SHA256())

    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    upstream = certificate(ALLOWED, leaf.public_key(), [ALLOWED, DENIED], "Private CA", root)
    key = leaf.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (directory / "upstream.pem").write_bytes(key + upstream.public_bytes(Encoding.PEM))
    return certificate("Private CA", root.public_key(), [], "Private CA", root).public_bytes(Encoding.PEM).decode()


@dataclass
class Replica:
    url: str
    container: DockerContainer
    proxy: DockerContainer
    upstream: DockerContainer

    def ask(self, model: str, path: str = "/v1/messages") -> httpx.Response:
        body = {"model": model, "max_tokens": 30, "messages": [{"role": "user", "content": "hello"}]}
        return plain.post(self.url + path, json=body, headers={"x-api-key": KEY}, timeout=60, trust_env=False)

    def python(self, code: str) -> str:
        """Run Python beside the server, with what it trusts; its output and its error, whatever happened."""
        name = str(self.container.get_wrapped_container().name)
        done = subprocess.run(
            ["docker", "exec", name, "python", "-c", code], capture_output=True, text=True, timeout=60
        )
        return done.stdout + done.stderr

    def proxied(self) -> str:
        return b"\n".join(self.proxy.get_logs()).decode()


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    directory = tmp_path_factory.mktemp("egress")
    (directory / "proxy").mkdir()
    (directory / "proxy" / "tinyproxy.conf").write_text(PROXY)
    (directory / "proxy" / "allowed").write_text(f"^{ALLOWED.replace('.', chr(92) + '.')}$\n")
    (directory / "gateway.yaml").write_text(gateway_yaml())
    (directory / "secrets").mkdir()
    (directory / "secrets" / "master_key").write_text(KEY)
    (directory / "secrets" / "provider_keys.json").write_text(json.dumps({"UP_API_KEY": "sk-up"}))
    trusted = authority(directory)
    settings = parse_env("UP_API_KEY=sk-up\n", directory / ".env")
    files = render_basic(ROOT, load_gateway(directory / "gateway.yaml"), settings)
    write(directory, [*files, *render_code(ROOT), *render_authorities(trusted)])
    (directory / "litellm" / "ca.crt").rename(directory / "basic" / "ca.crt")
    for path in (directory, *directory.rglob("*")):
        path.chmod(0o755)
    with ExitStack() as stack:
        inside, outside = stack.enter_context(Network()), stack.enter_context(Network())
        upstream = DockerContainer(image("TOLLGATE_IMAGE")).with_command(["python", "-c", UPSTREAM])
        upstream.with_volume_mapping(str(directory / "upstream.pem"), "/tls/upstream.pem", "ro")
        stack.enter_context(upstream.with_network(outside).with_network_aliases(ALLOWED, DENIED))
        proxy = DockerContainer(own_image("tinyproxy")).with_volume_mapping(str(directory / "proxy"), "/proxy", "ro")
        stack.enter_context(proxy.with_network(inside).with_network_aliases("proxy"))
        outside.connect(proxy.get_wrapped_container().id)
        container = on_loopback(DockerContainer(image("LITELLM_IMAGE")), 4000)
        container.with_envs(**environment()).with_kwargs(entrypoint=["python", "-m", "tollgate.services.replica"])
        for source, target in (("basic", "/etc/litellm"), ("code", "/opt/tollgate"), ("secrets", "/run/secrets")):
            container.with_volume_mapping(str(directory / source), target, "ro")
        stack.enter_context(container.with_network(inside))
        url = f"http://127.0.0.1:{container.get_exposed_port(4000)}"
        eventually(lambda: alive(url), within=120, every=0.5)
        yield Replica(url, container, proxy, upstream)


def environment() -> dict[str, str]:
    """A replica's as a deploy renders it with EGRESS_PROXY and CA_BUNDLE, but for the database that this one lacks."""
    text = render_replicas(ROOT, 1, 10, proxy="http://proxy:3128", authorities=True).text
    found: dict[str, str] = yaml.safe_load(text)["services"]["litellm-1"]["environment"]
    return {name: value for name, value in found.items() if not name.startswith(("POSTGRES_", "TOLLGATE_REDIS"))}


def alive(url: str) -> bool:
    try:
        return plain.get(f"{url}/health/liveliness", timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_an_allowed_upstream_is_reached_through_the_proxy(replica: Replica, kind: str, path: str) -> None:
    before = replica.proxied().count(f"CONNECT {ALLOWED}:{PORT}")
    answer = replica.ask(f"allowed-{kind}", path)
    assert answer.status_code == 200, answer.text
    assert "hello" in answer.text
    # A connection that was kept is used again; the first of each kind made one. Docker has its line a moment later.
    eventually(lambda: replica.proxied().count(f"CONNECT {ALLOWED}:{PORT}") >= max(before, 1), within=20)


@pytest.mark.parametrize("kind", ["anthropic", "openai"])
def test_twin_one_that_the_proxy_does_not_allow_is_not(replica: Replica, kind: str) -> None:
    answer = replica.ask(f"denied-{kind}")
    assert answer.status_code >= 500
    assert answer.json()["type"] == "error"
    eventually(lambda: f"CONNECT {DENIED}:{PORT}" in replica.proxied(), within=20)


def test_twin_past_the_proxy_there_is_no_way(replica: Replica) -> None:
    said = replica.python(f"import socket; socket.create_connection(('{ALLOWED}', {PORT}), timeout=5)")
    assert "gaierror" in said or "Name or service not known" in said or "timed out" in said
    outside = replica.upstream.get_wrapped_container()
    outside.reload()
    (network,) = outside.attrs["NetworkSettings"]["Networks"].values()
    said = replica.python(f"import socket; socket.create_connection(('{network['IPAddress']}', {PORT}), timeout=3)")
    assert "Error" in said


def test_twin_without_its_authority_the_upstream_is_not_trusted(replica: Replica) -> None:
    get = f"import httpx; print(plain.get('https://{ALLOWED}:{PORT}/_health', verify=VERIFY).status_code)"
    get = f"import ssl; {get}"
    bare = replica.python(
        get.replace("VERIFY", "ssl.create_default_context(cafile='/etc/ssl/certs/ca-certificates.crt')")
    )
    assert "CERTIFICATE_VERIFY_FAILED" in bare
    given = replica.python(get.replace("VERIFY", "ssl.create_default_context(cafile='/tmp/ca-bundle.pem')"))
    assert given.strip() == "200"
