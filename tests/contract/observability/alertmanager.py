"""The Alertmanager that the stack runs, with the files, secrets and variables that a deploy makes of an .env."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from tests.contract.observability.conftest import ROOT
from tests.support import plain
from tests.support.eventually import eventually
from tests.support.images import image
from tests.support.ports import free_ports
from tests.support.receivers import MailServer, Posts
from tollgate import disk
from tollgate.config.env import certificate as certificates
from tollgate.config.env.settings import parse
from tollgate.render.observability import render_observability
from tollgate.render.output import write
from tollgate.render.receivers import Receivers
from tollgate.site import Site
from tollgate.stack.secrets import publish, store

testcontainers_config.ryuk_disabled = True  # its reaper is an image of its own

# The name of a receiver outside. Go sends nothing for a loopback address through a proxy.
OUTSIDE = "alerts.example"


@dataclass
class Running:
    """One Alertmanager, and those whom it tells. `clear` is a mail server that offers no encryption."""

    url: str
    mail: MailServer
    clear: MailServer
    posts: Posts
    container: DockerContainer

    def fire(self, *alerts: dict[str, str]) -> None:
        told = [{"summary": f"{labels['alertname']} was sent", "description": "By a test."} for labels in alerts]
        body = [{"labels": labels, "annotations": words} for labels, words in zip(alerts, told, strict=True)]
        plain.post(f"{self.url}/api/v2/alerts", json=body, timeout=10).raise_for_status()

    def log(self) -> str:
        return "".join(part.decode() for part in self.container.get_logs())


def certificate(directory: Path) -> ssl.SSLContext:
    """A certificate for 127.0.0.1 and OUTSIDE, which is its own CA: directory/ca.pem."""
    names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName(OUTSIDE)]
    key, name, now = ec.generate_private_key(ec.SECP256R1()), x509.Name([]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(made.public_bytes(Encoding.PEM))
    pair = directory / "key.pem"
    pair.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)
    return context


def variables(proxy: str) -> dict[str, str]:
    """Those of compose/observability.yaml."""
    described = yaml.safe_load((ROOT / "compose" / "observability.yaml").read_text())
    environment = described["services"]["alertmanager"]["environment"]
    return {name: str(value).replace("${EGRESS_PROXY:-}", proxy) for name, value in environment.items()}


@contextmanager
def alertmanager(home: Path, env: str, mail: MailServer, clear: MailServer, posts: Posts) -> Iterator[Running]:
    """The files and secrets as a deploy makes them of `env`."""
    site = Site(root=ROOT, home=home)
    store.ensure(site)
    settings = parse(env, site.env_file)
    ways, trusted = Receivers.of(settings, webhook=False), certificates.authorities(settings.ca_bundle)
    proxied = bool(settings.egress_proxy)
    write(home, render_observability(ROOT, 3, "tollgate", receivers=ways, proxied=proxied, authorities=trusted))
    for file in publish.published(site, settings):
        if file.service == "alertmanager":
            (home / "run").mkdir(exist_ok=True)
            disk.replace(home / "run" / file.name, file.content.reveal(), 0o400)
    port = free_ports(1)[0]
    container = DockerContainer(image("ALERTMANAGER_IMAGE"))
    container.with_command(
        [
            "--config.file=/etc/alertmanager/alertmanager.yml",
            "--storage.path=/alertmanager",
            "--cluster.listen-address=",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.format=json",
            "--log.level=debug",
        ]
    )
    for name, value in variables(settings.egress_proxy or "").items():
        container.with_env(name, value)
    for there, path in (("alertmanager", "/etc/alertmanager"), ("run", "/run/secrets")):
        container.with_volume_mapping(str(home / there), path, "ro")
    container.with_tmpfs_mount("/alertmanager", "mode=1777")
    container.with_kwargs(
        network_mode="host",
        user=f"{os.getuid()}:{os.getgid()}",
        read_only=True,
        cap_drop=["ALL"],
    )
    with container:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: plain.get(f"{url}/-/ready", timeout=5).status_code == 200, within=60, every=1)
        yield Running(url, mail, clear, posts, container)
