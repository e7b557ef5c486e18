"""The doctor's findings about the certificate that clients see. A TLS server in this process plays nginx."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.site import new_home
from tollgate.config.env.certificate import read
from tollgate.errors import TollgateError
from tollgate.site import Site
from tollgate.stack import configuration
from tollgate.stack.certificates import acme as fetched
from tollgate.stack.certificates import self_signed
from tollgate.stack.certificates import serve as certificates
from tollgate.stack.configuration import Configuration
from tollgate.stack.containers.compose import Compose
from tollgate.stack.deployment import Deployment
from tollgate.stack.doctor.running import _certificate
from tollgate.stack.host.progress import PlainProgress
from tollgate.stack.secrets import store as secrets


@contextmanager
def serving(bundle: Path) -> Iterator[tuple[str, int]]:
    """A TLS server with this key and certificate; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(bundle)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                # A client hangs up once it has seen the certificate, perhaps before the handshake ends.
                with suppress(OSError), connection, context.wrap_socket(connection, server_side=True) as encrypted:
                    encrypted.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(timeout=10)


@pytest.fixture
def configured(tmp_path: Path) -> Configuration:
    site = new_home(tmp_path / "home", "TLS=self-signed", "GATEWAY_HOSTS=gateway.example")
    secrets.ensure(site)
    self_signed.ensure(site, configuration.settings(site))
    return configuration.load(site)


def bundle(directory: Path, text: str) -> Path:
    file = directory / "served.pem"
    file.write_text(text)
    return file


def findings(
    monkeypatch: pytest.MonkeyPatch, configured: Configuration, place: tuple[str, int]
) -> list[tuple[str, str]]:
    monkeypatch.setattr(Compose, "address", lambda *_: place)
    return [(finding.level, finding.message) for finding in _certificate(nowhere(configured), configured)]


def nowhere(configured: Configuration) -> Deployment:
    return Deployment.of(Site.here(Path("/nowhere")), configured.settings)


def test_the_certificate_on_disk_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: Configuration
) -> None:
    wanted = configured.certificate
    assert wanted is not None
    with serving(bundle(tmp_path, wanted.bundle.reveal())) as place:
        [(level, message)] = findings(monkeypatch, configured, place)
    assert (level, "gateway.example" in message) == ("PASS", True)


def test_twin_another_certificate_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configured: Configuration
) -> None:
    other = bundle(tmp_path, self_signed.make(("gateway.example",), datetime.now(UTC)).reveal())
    with serving(other) as place:
        [(level, message)] = findings(monkeypatch, configured, place)
        assert certificates.served(nowhere(configured)) == read(other, other).fingerprint
    assert (level, message) == ("FAIL", "nginx serves another certificate than the one on disk")


def test_a_closed_port_fails(monkeypatch: pytest.MonkeyPatch, configured: Configuration) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        place = free.getsockname()
    [(level, message)] = findings(monkeypatch, configured, place)
    assert (level, message.startswith("no TLS on 127.0.0.1:")) == ("FAIL", True)


def test_without_tls_the_check_is_skipped(monkeypatch: pytest.MonkeyPatch, configured: Configuration) -> None:
    monkeypatch.setattr(Compose, "address", lambda *_: pytest.fail("asked"))
    [finding] = _certificate(nowhere(configured), replace(configured, certificate=None))
    assert finding.level == "SKIP"


def test_a_reload_before_the_first_deploy_is_refused(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home", "TLS=self-signed")
    with pytest.raises(TollgateError, match="TLS is not deployed yet"):
        certificates.reload(site, None)  # type: ignore[arg-type]


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Configuration, dict[str, str], Path]]:
    """TLS=acme: the configuration, the acme service's answers (a test sets them), and the file that nginx serves."""
    lines = ("TLS=acme", "GATEWAY_HOSTS=gateway.example", "ACME_EMAIL=a@gateway.example")
    site = new_home(tmp_path / "home", *lines)
    secrets.ensure(site)
    self_signed.ensure(site, configuration.settings(site))
    answers = {"chain": "", "why": ""}
    monkeypatch.setattr(fetched, "_ask", lambda _, word: answers[word])
    file = bundle(tmp_path, self_signed.make(("gateway.example",), datetime.now(UTC)).reveal())
    with serving(file) as address:
        monkeypatch.setattr(Compose, "address", lambda *_: address)
        yield configuration.load(site), answers, file


def of_acme(configured: Configuration) -> list[tuple[str, str]]:
    return [(finding.level, finding.message) for finding in _certificate(nowhere(configured), configured)]


def test_the_doctor_says_why_no_certificate_was_fetched(
    acme: tuple[Configuration, dict[str, str], Path],
) -> None:
    configured, answers, file = acme
    assert of_acme(configured) == [("FAIL", "no certificate was fetched yet: the first attempt still runs")]
    answers["why"] = "connection refused; open port 80"
    assert of_acme(configured) == [("FAIL", "no certificate was fetched yet: connection refused; open port 80")]
    text = file.read_text()
    answers["chain"] = text[text.index("-----BEGIN CERT") :]
    [warned, served] = of_acme(configured)
    assert warned == ("WARN", "it cannot be renewed: connection refused; open port 80")
    assert served[0] == "PASS"
    answers["why"] = ""
    assert [level for level, _ in of_acme(configured)] == ["PASS"]
    other = self_signed.make(("gateway.example",), datetime.now(UTC)).reveal()
    answers["chain"] = other[other.index("-----BEGIN CERT") :]
    assert of_acme(configured) == [("FAIL", "nginx serves another certificate than the fetched one")]


def test_only_a_fetched_certificate_is_renewed_by_command(tmp_path: Path) -> None:
    site = new_home(tmp_path / "home", "TLS=self-signed")
    with pytest.raises(TollgateError, match="TLS=self-signed: nothing is fetched"):
        certificates.renew(site, force=False)
    site = new_home(tmp_path / "other", "TLS=acme", "GATEWAY_HOSTS=g.example", "ACME_EMAIL=a@g.example")
    with pytest.raises(TollgateError, match="TLS=acme is not deployed yet"):
        certificates.renew(site, force=False)
    with pytest.raises(TollgateError, match="loads a new certificate by itself"):
        certificates.reload(site, PlainProgress())
